//! `spkctl license backup` and `restore`: the CWC's state and keys in one encrypted file.
//!
//! Owns which records belong to it: all of the store (licensing.md §7.1), and the CWC's own keys
//! (§1.2). Invariants: nothing is written unless the whole file decrypts and the store's lock is held;
//! `context`, the truth, is written last, so that a restore that broke off can be done again.
//! Source: licensing.md §7.5, §14.1 (LIC-921).

mod passphrase;
mod sealed;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use spk_jose::base64url;
use spk_node::layout::Layout;
use spk_serving::clock;
use spk_store::durable::{self, Access};
use spk_store::{FileStore, Record, Store, StoreError};

use super::files;
use super::status::at;

/// Arguments of `backup`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Example:\n  spkctl license backup -o cwc.backup --passphrase-file \
                       /etc/spk/passphrase\n\nThe CWC may run meanwhile. Without --passphrase-file the \
                       passphrase is asked for. Keep file and passphrase apart, and make a new backup \
                       after each receipt: what was accepted since is not in an old one. Exit code \
                       0: the file is written. 1: it is not.")]
pub(super) struct BackupArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// The file that is written, mode 0600.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

/// Arguments of `restore`.
#[derive(Debug, clap::Args)]
#[command(
    after_long_help = "Example, on a machine of spk-node:\n  systemctl stop spk-node\n  spkctl \
                       license restore cwc.backup --passphrase-file /etc/spk/passphrase\n  systemctl \
                       start spk-node\n\nThe CWC must be stopped. A wrong passphrase or an altered \
                       file is refused as a whole. Of an old backup Controllers tell the CWC what it \
                       has forgotten; receipts that it had accepted since are refused as stale. Exit \
                       code 0: state and keys are as they were. 1: refused; nothing was written."
)]
pub(super) struct RestoreArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// The file that `backup` wrote.
    file: PathBuf,
}

/// Where the CWC's records lie, and the passphrase.
#[derive(Debug, clap::Args)]
struct PlaceArgs {
    /// The stateDir of this machine's spk-node.
    #[arg(
        long,
        value_name = "DIR",
        env = "SPK_STATE_DIR",
        default_value = "/var/lib/spk-node",
        conflicts_with_all = ["store", "config"]
    )]
    state_dir: PathBuf,
    /// The store of a spk-cwc that runs by itself: DIR of its --store file:DIR.
    #[arg(long, value_name = "DIR", requires = "config")]
    store: Option<PathBuf>,
    /// The --config of that spk-cwc.
    #[arg(long, value_name = "DIR", requires = "store")]
    config: Option<PathBuf>,
    /// File whose first line is the passphrase.
    #[arg(long, value_name = "FILE", env = "SPKCTL_PASSPHRASE_FILE")]
    passphrase_file: Option<PathBuf>,
}

/// The two folders.
struct Place {
    store: PathBuf,
    config: PathBuf,
}

impl PlaceArgs {
    fn place(&self) -> Place {
        let machine = Layout::new(&self.state_dir);
        Place {
            store: self.store.clone().unwrap_or_else(|| machine.cwc_store()),
            config: self.config.clone().unwrap_or_else(|| machine.cwc_config()),
        }
    }
}

/// What a backup holds, before it is sealed.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    /// When it was made, by the wall clock.
    made: String,
    /// Records of the store.
    store: Records,
    /// Records of the CWC's keys.
    keys: Records,
}

/// Values in base64url, by record and key.
type Records = BTreeMap<String, BTreeMap<String, String>>;

/// Writes a backup.
pub(super) fn backup(args: &BackupArgs) -> anyhow::Result<ExitCode> {
    let place = args.place.place();
    for folder in [&place.store, &place.config] {
        if !folder.is_dir() {
            bail!("{} is no folder; is --state-dir the stateDir of spk-node?", folder.display());
        }
    }
    let passphrase = passphrase::new(args.place.passphrase_file.as_deref())?;
    let contents = runtime()?.block_on(async {
        let store = FileStore::shared(&place.store)?;
        let names = store.list().await?;
        let records = read(&store, names.iter().map(String::as_str)).await?;
        let keys = read(&FileStore::shared(&place.config)?, KEYS).await?;
        anyhow::Ok(Contents { made: clock::wall().to_string(), store: records, keys })
    })?;
    if !contents.store.contains_key(TRUTH) {
        bail!("{} holds no record {TRUTH}: there is no state to back up", place.store.display());
    }
    for name in KEYS {
        if !contents.keys.contains_key(name) {
            bail!("{} holds no {name}: it would not be of use later", place.config.display());
        }
    }
    let sealed = sealed::seal(&serde_json::to_vec(&contents)?, &passphrase)?;
    // A bare name has no parent that could be synced.
    let output = std::path::absolute(&args.output)?;
    durable::write(&output, &sealed, Access::Private)
        .with_context(|| format!("cannot write {}", args.output.display()))?;
    files::emit(&format!(
        "Backup of {} records and {} keys written to {}.\n",
        contents.store.len(),
        contents.keys.len(),
        args.output.display()
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// Puts a backup back.
pub(super) fn restore(args: &RestoreArgs) -> anyhow::Result<ExitCode> {
    let place = args.place.place();
    let bytes = files::read_bytes(&args.file, sealed::SIZE_LIMIT)?;
    let passphrase = passphrase::known(args.place.passphrase_file.as_deref())?;
    let opened = sealed::open(&bytes, &passphrase)
        .with_context(|| format!("{} cannot be used; nothing was written", args.file.display()))?;
    let contents: Contents = serde_json::from_slice(&opened)
        .ok()
        .with_context(|| format!("{} is of another release", args.file.display()))?;
    let records = decoded(&contents.store)?;
    let keys = decoded(&contents.keys)?;
    if !records.contains_key(TRUTH) || keys.keys().any(|name| !KEYS.contains(&name.as_str())) {
        bail!("{} is no backup of a CWC; nothing was written", args.file.display());
    }
    runtime()?.block_on(write(&place, &records, &keys))?;
    files::emit(&format!(
        "State and keys are as they were at {}. Start the CWC; next: spkctl license status\n",
        contents.made.parse().map_or_else(|_| contents.made.clone(), at)
    ))?;
    Ok(ExitCode::SUCCESS)
}

async fn read<S: Store>(
    store: &S,
    names: impl IntoIterator<Item = &str>,
) -> anyhow::Result<Records> {
    let mut records = Records::new();
    for name in names {
        if let Some(stored) = store.read(name).await? {
            let values = stored.record.iter();
            let values = values.map(|(key, value)| (key.to_owned(), base64url::encode(value)));
            records.insert(name.to_owned(), values.collect());
        }
    }
    Ok(records)
}

fn decoded(records: &Records) -> anyhow::Result<BTreeMap<String, Record>> {
    let one = |values: &BTreeMap<String, String>| {
        values.iter().try_fold(Record::default(), |record, (key, value)| {
            Some(record.with(key, base64url::decode(value)?))
        })
    };
    let all = records.iter().map(|(name, values)| Some((name.clone(), one(values)?)));
    all.collect::<Option<_>>().context("a record of the backup cannot be read; nothing was written")
}

async fn write(
    place: &Place,
    records: &BTreeMap<String, Record>,
    keys: &BTreeMap<String, Record>,
) -> anyhow::Result<()> {
    let store = open(&place.store)?;
    let key_store = FileStore::shared(&place.config)?;
    for (name, record) in keys {
        key_store.put(name, record.clone()).await?;
    }
    // A record that the backup does not have belongs to a state that is given up.
    for name in store.list().await? {
        if !records.contains_key(&name) {
            store.delete(&name).await?;
        }
    }
    for (name, record) in records.iter().filter(|(name, _)| *name != TRUTH) {
        store.put(name, record.clone()).await?;
    }
    if let Some(record) = records.get(TRUTH) {
        store.put(TRUTH, record.clone()).await?;
    }
    Ok(())
}

/// Opens the store, which no CWC may have open.
fn open(path: &Path) -> anyhow::Result<FileStore> {
    match FileStore::open(path) {
        Err(StoreError::Locked { holder, .. }) => {
            let holder = holder.map(|pid| format!(" (process {pid})")).unwrap_or_default();
            bail!("the CWC runs{holder}: stop it first. Nothing was written");
        }
        opened => Ok(opened?),
    }
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

/// The record that is the truth (licensing.md §7.1).
const TRUTH: &str = "context";
/// The CWC's own keys (licensing.md §1.2).
const KEYS: [&str; 3] = ["cwc-lease-jwks", "cwc-lease-key", "cwc-report-key"];
