//! `spkctl license`: the licence of a cluster, and the monthly exchange of report and receipt.
//!
//! Owns the commands and their exit codes; what a token says and whether it is good is
//! `spk_license`'s, what may be done when is the CWC's. Exit code 0: done; 1: failed, with the reason
//! on stderr; 2: usage; 3, 4: blocked, warned (`status`); 5: not yet (`report`).
//! Source: licensing.md §14.1 (LIC-919).

mod admin;
mod backup;
mod decode;
mod exchange;
mod files;
mod output;
mod reactivate;
mod site;
mod status;
mod submit;
mod watch;

use std::process::ExitCode;

use clap::{Args as ClapArgs, Subcommand};

/// Arguments of `spkctl license`.
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Exit code 0: done. 1: failed; stderr says why. 2: usage. 3: traffic is blocked or \
                  the licence not active, 4: a warning (status). 5: not yet (report).",
    after_long_help = "\
First activation, and each month of a cluster without internet access, three commands:
  spkctl license report -o report.json
  spkctl license submit report.json --jwt-file license.jwt -o receipt.json   # anywhere
  spkctl license receipt receipt.json

Which CWC is asked, the first that is told:
  1. options: --cwc https://node-1:30881 --cacert ca_root.crt --cert client.crt --key client.key
     (--server-name f5-spk-cwc.default, if the certificate is for that name)
  2. SPKCTL_CWC, SPKCTL_CACERT, SPKCTL_CERT, SPKCTL_KEY, SPKCTL_SERVER_NAME, SPKCTL_TOKEN_FILE
  3. a profile file: --profile or SPKCTL_PROFILE, else ~/.config/spkctl/profile.yaml, such as
       cwc: https://node-1:30881
       cacert: ca_root.crt          # relative to the profile
       cert: client.crt
       key: client.key
       serverName: f5-spk-cwc.default
       tokenFile: token
  4. spk-node of this machine: --state-dir or SPK_STATE_DIR, else /var/lib/spk-node

Exit code 0: done. 1: failed; stderr says why. 2: usage. 3: traffic is blocked or the licence not
active, 4: a warning (status). 5: not yet (report)."
)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Shows the licence, when and why traffic stops, and what to do next.
    Status(status::Args),
    /// Downloads the report that waits for a receipt.
    Report(exchange::ReportArgs),
    /// Submits a report to the licensing service and writes the receipt. Needs internet access and
    /// no cluster.
    Submit(submit::Args),
    /// Uploads the receipt of a report.
    Receipt(exchange::ReceiptArgs),
    /// Switches to another licence: renewal, or trial to paid.
    Reactivate(reactivate::Args),
    /// Prints a line for each change.
    Watch(watch::Args),
    /// Shows a licence JWT, report, receipt or lease, and says whether it is good. Offline.
    Decode(decode::Args),
    /// Accepts a jump of the clock.
    Clock(admin::ClockArgs),
    /// Gives up a stored state that cannot be read, and starts over.
    Reset(admin::Args),
    /// Lets the CWC write its state in the form of this release at once.
    ConfirmUpgrade(admin::Args),
    /// Writes the CWC's state and keys to an encrypted file. On the CWC's machine.
    Backup(backup::BackupArgs),
    /// Puts a backup back. On the CWC's machine; the CWC must be stopped.
    Restore(backup::RestoreArgs),
}

/// Carries out `args`; what fails is told on stderr.
pub fn run(args: &Args) -> ExitCode {
    let outcome = match &args.command {
        Command::Status(args) => status::run(args),
        Command::Report(args) => exchange::report(args),
        Command::Submit(args) => submit::run(args),
        Command::Receipt(args) => exchange::receipt(args),
        Command::Reactivate(args) => reactivate::run(args),
        Command::Watch(args) => watch::run(args),
        Command::Decode(args) => decode::run(args),
        Command::Clock(args) => admin::clock(args),
        Command::Reset(args) => admin::reset(args),
        Command::ConfirmUpgrade(args) => admin::confirm_upgrade(args),
        Command::Backup(args) => backup::backup(args),
        Command::Restore(args) => backup::restore(args),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("spkctl: {error:#}");
        ExitCode::FAILURE
    })
}

/// Exit code of a licence that lets nothing pass, or is not active.
const BLOCKED: u8 = 3;
/// Exit code of a licence with a warning.
const WARNING: u8 = 4;
/// Exit code of what only time allows.
const NOT_YET: u8 = 5;
