//! Real peers: nginx, curl, socat, iperf3, usrsctp's examples, ping.
//!
//! Each server tells who it is, so that a client sees which member answered.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket},
    path::Path,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use netlab::{Namespace, Process, ProcessBuilder};

use crate::{
    plan::{self, Family},
    poll,
};

/// Size of `/big` on every HTTP server, in bytes.
pub const BIG_BYTES: usize = 1_000_000;

const START: Duration = Duration::from_secs(5);
/// usrsctp's echo server, on port 7, over raw sockets.
const SCTP_SERVER: &str = "/usr/lib/usrsctp/echo_server";
/// Its client: sends lines, prints what comes back.
const SCTP_CLIENT: &str = "/usr/lib/usrsctp/client";

/// Starts nginx on `port` of every address; it answers with `name` and the source it saw.
///
/// # Errors
///
/// If it does not listen within five seconds.
pub fn nginx(namespace: &Namespace, name: &str, port: u16, folder: &Path) -> Result<Process> {
    let home = folder.join(format!("nginx-{name}"));
    fs::create_dir_all(&home)?;
    let configuration = format!(
        "daemon off;
master_process off;
worker_processes 1;
error_log stderr warn;
pid {home}/pid;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    keepalive_requests 1000000;
    client_body_temp_path {home}/body;
    proxy_temp_path {home}/proxy;
    fastcgi_temp_path {home}/fastcgi;
    uwsgi_temp_path {home}/uwsgi;
    scgi_temp_path {home}/scgi;
    server {{
        listen {port};
        listen [::]:{port};
        location / {{ return 200 \"{name} $remote_addr\\n\"; }}
        location /big {{ root {home}; }}
    }}
}}
",
        home = home.display()
    );
    let file = home.join("nginx.conf");
    fs::write(&file, configuration)?;
    fs::write(home.join("big"), vec![b'.'; BIG_BYTES])?;
    let mut command = namespace.command("nginx");
    command.arg("-c").arg(&file).arg("-p").arg(&home).args(["-e", "stderr"]);
    let mut process = ProcessBuilder::new(format!("nginx-{name}"), command).spawn(folder)?;
    listening(namespace, &mut process, 't', port)?;
    Ok(process)
}

/// Starts a UDP echo of both families that answers each datagram with `name`, a space and the
/// datagram, by socat.
///
/// # Errors
///
/// If it does not listen within five seconds.
pub fn udp_echo(namespace: &Namespace, name: &str, folder: &Path) -> Result<Process> {
    let mut command = namespace.command("socat");
    command.arg(format!("UDP6-RECVFROM:{},ipv6only=0,fork", plan::ECHO_PORT));
    command.arg(format!("SYSTEM:read -r line; echo \"{name} $line\""));
    let mut process = ProcessBuilder::new(format!("udp-{name}"), command).spawn(folder)?;
    listening(namespace, &mut process, 'u', plan::ECHO_PORT)?;
    Ok(process)
}

/// Starts an iperf3 server.
///
/// # Errors
///
/// If it does not listen within five seconds.
pub fn iperf_server(namespace: &Namespace, name: &str, folder: &Path) -> Result<Process> {
    let mut command = namespace.command("iperf3");
    command.args(["-s", "-p", &plan::IPERF_PORT.to_string()]);
    let mut process = ProcessBuilder::new(format!("iperf-{name}"), command).spawn(folder)?;
    listening(namespace, &mut process, 't', plan::IPERF_PORT)?;
    Ok(process)
}

/// Starts usrsctp's echo server on port 7.
///
/// # Errors
///
/// If it has not opened its raw socket within five seconds.
pub fn sctp_server(namespace: &Namespace, name: &str, folder: &Path) -> Result<Process> {
    let mut command = namespace.command("stdbuf");
    command.args(["-oL", "-eL", SCTP_SERVER]);
    let mut process = ProcessBuilder::new(format!("sctp-{name}"), command).spawn(folder)?;
    poll::hold("usrsctp opens its raw socket", START, || {
        process.ended().is_some()
            || namespace
                .run("cat", ["/proc/net/raw"])
                .is_ok_and(|table| table.lines().any(|line| line.contains(":0084 ")))
    })?;
    ensure!(process.ended().is_none(), "usrsctp ended: {}", process.log());
    Ok(process)
}

/// Sends `lines` over one SCTP association and returns what was echoed.
///
/// # Errors
///
/// With the client's output if no association came up or it did not end within ten seconds.
pub fn sctp_echo(
    namespace: &Namespace,
    address: IpAddr,
    port: u16,
    lines: &[&str],
) -> Result<Vec<String>> {
    let words = lines.join("' '");
    let script = format!(
        "for line in '{words}'; do echo \"$line\"; sleep 0.2; done | \
         timeout 10 stdbuf -oL {SCTP_CLIENT} {address} {port} 2>&1"
    );
    let said = namespace.run("sh", ["-c", &script])?;
    ensure!(said.contains("SCTP_COMM_UP"), "no association with {address} port {port}:\n{said}");
    Ok(lines
        .iter()
        .filter(|line| said.lines().any(|echoed| echoed == **line))
        .map(|line| (*line).to_owned())
        .collect())
}

/// Gets `/` from an HTTP server; returns (who answered, the source it saw).
///
/// # Errors
///
/// With curl's complaint; the limit is three seconds.
pub fn http_get(namespace: &Namespace, address: IpAddr, port: u16) -> Result<(String, String)> {
    let url = format!("http://{}:{port}/", plan::url_host(address));
    let body = namespace.run("curl", ["-sS", "-m", "3", &url])?;
    let (name, source) = body.trim().split_once(' ').context("answer of another server")?;
    Ok((name.to_owned(), source.to_owned()))
}

/// Sends one datagram from a port of its own and returns the answer's line.
///
/// # Errors
///
/// If none comes within a second.
pub fn udp_ask(namespace: &Namespace, address: IpAddr, port: u16, text: &str) -> Result<String> {
    let any: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let answer = namespace.enter(|| -> std::io::Result<Vec<u8>> {
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect((address, port))?;
        socket.set_read_timeout(Some(Duration::from_secs(1)))?;
        socket.send(format!("{text}\n").as_bytes())?;
        let mut buffer = vec![0; 2048];
        let length = socket.recv(&mut buffer)?;
        buffer.truncate(length);
        Ok(buffer)
    })?;
    let answer = answer.with_context(|| format!("no answer from {address} port {port}"))?;
    Ok(String::from_utf8_lossy(&answer).trim_end().to_owned())
}

/// Pings `count` times, 10 ms apart; returns how many were answered.
///
/// # Errors
///
/// If ping's output is not understood.
pub fn ping(namespace: &Namespace, address: IpAddr, count: u32, more: &[&str]) -> Result<u32> {
    let count = count.to_string();
    let target = address.to_string();
    let mut arguments = vec!["-n", "-q", "-c", &count, "-i", "0.01", "-W", "1"];
    arguments.extend(more);
    arguments.push(&target);
    let output = match namespace.run("ping", arguments) {
        Ok(output) => output,
        Err(netlab::Error::Command { output, .. }) => output,
        Err(error) => return Err(error.into()),
    };
    let answered = output
        .lines()
        .find(|line| line.contains("transmitted"))
        .and_then(|line| line.split(", ").nth(1))
        .and_then(|part| part.split_whitespace().next())
        .and_then(|number| number.parse().ok());
    answered.with_context(|| format!("ping said: {output}"))
}

/// Waits until `port` is listened on (`t`: TCP, `u`: UDP).
fn listening(namespace: &Namespace, process: &mut Process, kind: char, port: u16) -> Result<()> {
    let flags = format!("-{kind}lnH");
    let end = format!(":{port}");
    poll::hold(&format!("{} listens on {port}", process.name()), START, || {
        process.ended().is_some()
            || namespace
                .run("ss", [flags.as_str()])
                .is_ok_and(|table| table.split_whitespace().any(|word| word.ends_with(&end)))
    })?;
    ensure!(process.ended().is_none(), "{} ended: {}", process.name(), process.log());
    Ok(())
}

/// What wrk says of a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Load {
    /// Requests answered.
    pub requests: u64,
    /// Requests a second.
    pub per_second: f64,
    /// Requests that failed: socket errors, time-outs, statuses other than 2xx and 3xx.
    pub failed: u64,
}

/// Reads wrk's report.
///
/// # Errors
///
/// If it is not understood.
pub fn load(report: &str) -> Result<Load> {
    let mut load = Load::default();
    for line in report.lines().map(str::trim) {
        if let Some(rest) = line.strip_prefix("Socket errors:") {
            load.failed += numbers(rest).sum::<u64>();
        } else if let Some(rest) = line.strip_prefix("Non-2xx or 3xx responses:") {
            load.failed += numbers(rest).sum::<u64>();
        } else if let Some(rest) = line.strip_prefix("Requests/sec:") {
            load.per_second = rest.trim().parse().context("wrk's rate")?;
        } else if let Some((requests, _)) = line.split_once(" requests in ") {
            load.requests = requests.trim().parse().context("wrk's count")?;
        }
    }
    ensure!(load.requests > 0, "wrk had no answer: {report}");
    Ok(load)
}

fn numbers(text: &str) -> impl Iterator<Item = u64> {
    text.split([' ', ',']).filter_map(|word| word.parse().ok())
}

/// Families in words.
pub fn family_name(family: Family) -> &'static str {
    match family {
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
    }
}
