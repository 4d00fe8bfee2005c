//! The CWC whose REST API is asked: where it is, who asks, and its answers.
//!
//! Owns where the connection's settings come from, in this order: option, environment variable,
//! profile file, the state directory of a single machine. Every answer that is no success becomes an
//! error in words, with what to do. Source: licensing.md §4.1, §4.2, §14.1.

mod profile;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use hyper::{Method, Request, Response, Uri};
use spk_license::view::license::License;
use spk_license::view::problem::Problem;
use spk_node::layout::Layout;
use spk_serving::clock;
use spk_serving::https::{MutualClient, NoReply};
use spk_serving::tls::{Alpn, Material, PemSet, TlsFiles};
use tokio::runtime::Runtime;

use super::files;
use profile::Profile;

/// Which CWC, and with which certificate.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Connection (or a profile file; see spkctl license --help)")]
pub(super) struct Connection {
    /// Address of the CWC's REST API, such as https://node-1:30881.
    #[arg(long, value_name = "URL", env = "SPKCTL_CWC")]
    cwc: Option<Uri>,
    /// The CA of the CWC's certificate, in PEM.
    #[arg(long, value_name = "FILE", env = "SPKCTL_CACERT")]
    cacert: Option<PathBuf>,
    /// The own certificate, in PEM.
    #[arg(long, value_name = "FILE", env = "SPKCTL_CERT")]
    cert: Option<PathBuf>,
    /// The own certificate's key, in PEM.
    #[arg(long, value_name = "FILE", env = "SPKCTL_KEY")]
    key: Option<PathBuf>,
    /// Name in the CWC's certificate, if it is not the host of the address.
    #[arg(long, value_name = "NAME", env = "SPKCTL_SERVER_NAME")]
    server_name: Option<String>,
    /// The profile file.
    #[arg(long, value_name = "FILE", env = "SPKCTL_PROFILE")]
    profile: Option<PathBuf>,
    /// The stateDir of this machine's spk-node, whose CWC and certificates are then used.
    #[arg(long, value_name = "DIR", env = "SPK_STATE_DIR")]
    state_dir: Option<PathBuf>,
}

/// An open way to one CWC.
pub(super) struct Site {
    address: Uri,
    client: MutualClient,
    /// Runs its requests.
    pub(super) runtime: Runtime,
    /// File of the bearer token, if a profile or state directory names one.
    pub(super) token_file: Option<PathBuf>,
}

/// The CWC refuses.
#[derive(Debug)]
pub(super) struct Refused(pub(super) Box<Problem>);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Problem { title, detail, code, suggested_action, .. } = &*self.0;
        let detail = detail.trim_end_matches('.');
        write!(f, "the CWC refuses: {title}: {detail} ({code})")?;
        if !suggested_action.is_empty() {
            write!(f, "\n  {suggested_action}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Refused {}

impl Connection {
    /// Reads the certificates and opens the way. Nothing is sent.
    ///
    /// # Errors
    ///
    /// What is missing or cannot be used, and where to give it.
    pub(super) fn open(&self) -> anyhow::Result<Site> {
        let profile = Profile::find(self.profile.as_deref())?;
        let machine = self.machine();
        let told =
            |own: &Option<PathBuf>, other: &Option<PathBuf>| own.clone().or_else(|| other.clone());
        let address = match self.cwc.clone().or(profile.address()?) {
            Some(address) => address,
            None => match &machine {
                Some(machine) => machine_address(machine)?,
                None => bail!(
                    "no CWC is named. Give --cwc, --cacert, --cert and --key, or SPKCTL_CWC, \
                     SPKCTL_CACERT, SPKCTL_CERT and SPKCTL_KEY, or a profile file (--profile), or \
                     --state-dir of this machine's spk-node; see spkctl license --help"
                ),
            },
        };
        if address.scheme_str() != Some("https") || address.host().is_none() {
            bail!("{address} is no https address, such as https://node-1:30881");
        }
        let files = [
            told(&self.cacert, &profile.cacert),
            told(&self.cert, &profile.cert),
            told(&self.key, &profile.key),
        ];
        let name = self.server_name.clone().or(profile.server_name);
        let client = MutualClient::new(&material(files, machine.as_ref())?, name.as_deref())?;
        let token_file = profile.token_file.or_else(|| {
            let file = machine?.cwc_config().join("cwc-auth-token/token");
            file.is_file().then_some(file)
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Site { address, client, runtime, token_file })
    }

    /// The state directory that is named, or the usual one if it is there.
    pub(super) fn machine(&self) -> Option<Layout> {
        match &self.state_dir {
            Some(dir) => Some(Layout::new(dir)),
            None => Some(Path::new(USUAL_STATE_DIR))
                .filter(|dir| client_certificates(&Layout::new(dir)).is_dir())
                .map(Layout::new),
        }
    }
}

fn machine_address(machine: &Layout) -> anyhow::Result<Uri> {
    let file = machine.cwc_config().join("cpcl-config-cm/rest_api_port");
    let port = fs::read_to_string(file).unwrap_or_else(|_| USUAL_PORT.to_owned());
    Ok(format!("https://localhost:{}", port.trim()).parse()?)
}

fn client_certificates(machine: &Layout) -> PathBuf {
    machine.root().join("cwc-license-client-certs")
}

fn material(files: [Option<PathBuf>; 3], machine: Option<&Layout>) -> anyhow::Result<Material> {
    let pem = match (files, machine) {
        ([Some(ca_file), Some(certificate_file), Some(key_file)], _) => {
            let read = |path: &Path| files::read(path).map(String::into_bytes);
            PemSet {
                ca: read(&ca_file)?,
                certificate: read(&certificate_file)?,
                key: read(&key_file)?,
                ca_file,
                certificate_file,
                key_file,
            }
        }
        ([None, None, None], Some(machine)) => {
            let dir = client_certificates(machine);
            TlsFiles::client(&dir).read().with_context(|| {
                format!("{} holds no client certificate of this machine", dir.display())
            })?
        }
        ([ca, certificate, key], _) => {
            let missing: Vec<&str> = [(ca, "--cacert"), (certificate, "--cert"), (key, "--key")]
                .into_iter()
                .filter_map(|(given, option)| given.is_none().then_some(option))
                .collect();
            bail!(
                "the CWC wants a client certificate and has one of its own CA: {} missing",
                missing.join(", ")
            );
        }
    };
    Ok(Material::check("cwc-license-client-certs", pem, Alpn::None, clock::wall())?)
}

impl Site {
    /// The body of a GET that succeeded.
    pub(super) fn get(&self, path: &str) -> anyhow::Result<Bytes> {
        self.runtime.block_on(self.ask(Method::GET, path, String::new(), None))
    }

    /// The body of a POST that succeeded.
    pub(super) fn post(
        &self,
        path: &str,
        body: String,
        token: Option<&str>,
    ) -> anyhow::Result<Bytes> {
        self.runtime.block_on(self.ask(Method::POST, path, body, token))
    }

    /// `GET /v1/license`.
    pub(super) fn license(&self) -> anyhow::Result<License> {
        self.runtime.block_on(self.license_soon())
    }

    /// As [`Site::license`], where a runtime runs.
    pub(super) async fn license_soon(&self) -> anyhow::Result<License> {
        let body = self.ask(Method::GET, "/v1/license", String::new(), None).await?;
        serde_json::from_slice(&body)
            .with_context(|| format!("{} answers /v1/license in an unknown form", self.address))
    }

    /// The head of `GET path`, whose body goes on.
    pub(super) async fn stream(&self, path: &str) -> anyhow::Result<Response<Incoming>> {
        let request = self.request(Method::GET, path, String::new(), None)?;
        let response =
            self.client.open(request, TIMEOUT).await.map_err(|error| self.lost(&error))?;
        if !response.status().is_success() {
            bail!("{} answers {}", self.address, response.status());
        }
        Ok(response)
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: String,
        token: Option<&str>,
    ) -> anyhow::Result<Bytes> {
        let request = self.request(method, path, body, token)?;
        let sent = self.client.send(request, TIMEOUT, BODY_LIMIT).await;
        let reply = sent.map_err(|error| self.lost(&error))?;
        if reply.status.is_success() {
            return Ok(reply.body);
        }
        match serde_json::from_slice::<Problem>(&reply.body) {
            Ok(problem) => Err(Refused(Box::new(problem)).into()),
            Err(_) => bail!(
                "{} answers {}{}; is it a CWC?",
                self.address,
                reply.status,
                files::said(&reply.body)
            ),
        }
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        body: String,
        token: Option<&str>,
    ) -> anyhow::Result<Request<Full<Bytes>>> {
        let base = self.address.to_string();
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", base.trim_end_matches('/')))
            .header(ACCEPT, "application/problem+json, application/json");
        if let Some(token) = token {
            let bearer = HeaderValue::from_str(&format!("Bearer {token}"));
            let mut bearer = bearer.map_err(|_| anyhow!("the bearer token is no single line"))?;
            bearer.set_sensitive(true);
            request = request.header(AUTHORIZATION, bearer);
        }
        Ok(request.body(Full::new(Bytes::from(body)))?)
    }

    fn lost(&self, error: &NoReply) -> anyhow::Error {
        let hint = match error {
            NoReply::Tls { reason } if reason.contains("not valid for name") => {
                "\n  The certificate is for another name; give that one as --server-name."
            }
            NoReply::Tls { .. } => {
                "\n  --cacert must be the CA of the CWC's certificate, and --cert one that this CA \
                 signed (cert-gen -s=api-server)."
            }
            NoReply::Broken { .. } | NoReply::Late { .. } => "",
        };
        anyhow!("{} cannot be asked: {error}{hint}", self.address)
    }
}

/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of an answer; the largest is a report in its wrapping.
const BODY_LIMIT: usize = 4 << 20;
const USUAL_STATE_DIR: &str = "/var/lib/spk-node";
const USUAL_PORT: &str = "30881";
