//! The `cert-gen` program.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use cert_gen::pki::KeyKind;
use cert_gen::{KeyStyle, MakeError, Order, Rotation, Service, make, secret};
use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser};

/// Makes certificates, private keys and Secret manifests of one service.
///
/// A second call keeps the CA and every certificate that is there, and adds what is missing, such as
/// further clients. Plain files lie in <service>-secrets/ssl, manifests in the output directory;
/// apply them with `kubectl apply -f <file> -n <namespace>`.
#[derive(Debug, Parser)]
#[command(name = "cert-gen", version)]
struct Cli {
    /// Whose certificates.
    #[arg(short, long, value_enum)]
    service: Service,
    /// Names that clients use for the server, separated by commas.
    #[arg(short, long = "names", value_name = "NAME", value_delimiter = ',')]
    addresses: Vec<String>,
    /// Client certificates besides the first one.
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 0)]
    clients: u16,
    /// Output directory.
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    output: PathBuf,
    /// Days until a certificate ends [default: 3650 for api-server and rabbit, else 365].
    #[arg(long, value_name = "DAYS")]
    days: Option<u32>,
    /// Kind of keys: rsa:2048, rsa:4096, ec:p256 [default: rsa:2048 for api-server and rabbit, else
    /// rsa:4096].
    #[arg(long, value_name = "KIND")]
    key: Option<KeyKind>,
    /// Namespace written into the manifests.
    #[arg(long, value_name = "NAME", value_parser = namespace)]
    namespace: Option<String>,
    /// How the data keys of cwc-license-certs are called.
    #[arg(long, value_enum, default_value_t)]
    key_style: KeyStyle,
    /// Takes the CA from directory ssl/ca of another service.
    #[arg(long, value_name = "DIR")]
    ca_dir: Option<PathBuf>,
    /// Puts the CA's private key into keys-secret.
    #[arg(long)]
    include_ca_key: bool,
    /// Makes new certificates from the same CA (leaf), or takes the next of three steps to a new CA
    /// (ca).
    #[arg(long, value_enum)]
    rotate: Option<Rotation>,
    /// Throws away what is there.
    #[arg(long)]
    force: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let order = order(&cli);
    if let Err(error) = order.check() {
        // Exit code 2.
        Cli::command().error(ErrorKind::ValueValidation, error).exit();
    }
    match carry_out(&order, cli.namespace.as_deref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cert-gen: {error}");
            ExitCode::FAILURE
        }
    }
}

fn order(cli: &Cli) -> Order {
    let default = Order::new(cli.service, cli.output.clone());
    Order {
        names: cli.addresses.clone(),
        clients: cli.clients,
        days: cli.days.unwrap_or(default.days),
        key: cli.key.unwrap_or(default.key),
        key_style: cli.key_style,
        ca_dir: cli.ca_dir.clone(),
        include_ca_key: cli.include_ca_key,
        rotate: cli.rotate,
        force: cli.force,
        ..default
    }
}

fn carry_out(order: &Order, namespace: Option<&str>) -> Result<(), MakeError> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let outcome = make(order, now)?;
    point_result(&order.dir, &outcome.files);
    let mut out = io::stdout().lock();
    for note in &outcome.notes {
        writeln!(out, "{note}")?;
    }
    writeln!(out, "Done! Find generated certificates and private keys under ./result!")?;
    for path in &outcome.verified {
        writeln!(out, "{}: OK", path.display())?;
    }
    writeln!(out, "Copying secrets ...")?;
    let dir = fs::canonicalize(&order.dir)?;
    for found in &outcome.secrets {
        let path = dir.join(format!("{}.yaml", found.name));
        writeln!(out, "Generating {}", path.display())?;
        secret::write_manifest(&path, found, namespace)?;
    }
    Ok(())
}

/// Makes `result` lead to the files, so that the closing line is true. What somebody else put there
/// stays.
fn point_result(dir: &Path, files: &Path) {
    let link = dir.join("result");
    if link.is_symlink() {
        let _ = fs::remove_file(&link);
    }
    let target = files.strip_prefix(dir).unwrap_or(files);
    // Only a convenience: the files are where the manual says.
    let _ = symlink(target, link);
}

/// A DNS label, as Kubernetes wants it.
fn namespace(text: &str) -> Result<String, String> {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let good = (1..=63).contains(&text.len())
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-');
    if good { Ok(text.to_owned()) } else { Err(String::from("not the name of a namespace")) }
}
