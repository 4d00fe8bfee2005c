use super::*;
use crate::problem::Reason;

fn tcp(yaml: &str) -> TcpMonitors {
    serde_saphyr::from_str(&format!("tcp: {yaml}")).expect("a list of items")
}

fn merged(monitors: &dyn Monitors) -> Result<Vec<Monitor>, Vec<Problem>> {
    let mut problems = Vec::new();
    let merged = monitors.merged(&Path::of("monitors"), false, &mut problems);
    if problems.is_empty() { Ok(merged) } else { Err(problems) }
}

fn times(yaml: &str) -> Vec<(u32, u32)> {
    let merged = merged(&tcp(yaml)).expect("the items merge");
    merged.into_iter().map(|m| (m.interval, m.timeout)).collect()
}

/// CHK-036, the table row by row. The round trip through an API server comes with step kubernetes;
/// here the items go through YAML and JSON, which keeps their order.
#[test]
fn items_merge_as_the_table_says() {
    for (items, monitors) in [
        ("[{interval: 3, timeout: 10}]", vec![(3, 10)]),
        ("[{interval: 3}, {timeout: 10}]", vec![(3, 10)]),
        ("[{interval: 3}, {interval: 5}]", vec![(3, 10), (5, 16)]),
        ("[{interval: 3}, {timeout: 10}, {interval: 5}, {timeout: 20}]", vec![(3, 10), (5, 20)]),
    ] {
        assert_eq!(times(items), monitors, "{items}");
        let stored = serde_json::to_string(&tcp(items)).expect("items are JSON");
        let again: TcpMonitors = serde_json::from_str(&stored).expect("and are read back");
        assert_eq!(merged(&again), merged(&tcp(items)), "{items} stored and read");
    }
    let problems = merged(&tcp("[{timeout: 4}]")).expect_err("5 is not below 4");
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].reason, Reason::InvalidMonitor);
    assert_eq!(
        problems[0].message(),
        "monitors.tcp[0]: interval 5 is not below timeout 4; raise timeout or lower interval"
    );
}

#[test]
fn an_item_without_keys_is_a_monitor_with_defaults_or_joins_the_one_before() {
    assert_eq!(times("[{}]"), [(5, 16)]);
    assert_eq!(times("[{interval: 7}, {}]"), [(7, 22)]);
    assert_eq!(times("[]"), []);
}

#[test]
fn a_repeated_key_of_any_name_starts_a_new_monitor() {
    assert_eq!(times("[{port: 80, interval: 2}, {port: 81}]"), [(2, 7), (5, 16)]);
    assert_eq!(times("[{username: a}, {username: b}, {timeout: 9}]"), [(5, 16), (5, 9)]);
}

#[test]
fn members_without_a_port_need_one_in_each_monitor_but_icmp() {
    let yaml = "icmp: [{}]\ntcp: [{port: 80}, {port: 81}]\nudp: [{interval: 3}]";
    let monitors: UdpMonitors = serde_saphyr::from_str(yaml).expect("monitors");
    let mut problems = Vec::new();
    let merged = monitors.merged(&Path::of("monitors"), true, &mut problems);
    let kinds: Vec<_> = merged.iter().map(|m| (m.kind, m.port)).collect();
    let tcp = MonitorKind::Tcp;
    assert_eq!(kinds, [(MonitorKind::Icmp, None), (tcp, Some(80)), (tcp, Some(81))]);
    let messages: Vec<_> = problems.iter().map(Problem::message).collect();
    let message = "monitors.udp[0]: port is required when service.port is 0; add the port to probe";
    assert_eq!(messages, [message]);
}

#[test]
fn payloads_are_bytes_with_escapes() {
    let yaml = r"udp: [{send: '\x0c\x01\x00\x14a\\b', recv: 'ü'}]";
    let monitors: UdpMonitors = serde_saphyr::from_str(yaml).expect("monitors");
    let merged = merged(&monitors).expect("the escapes are whole");
    assert_eq!(merged[0].send, b"\x0c\x01\x00\x14a\\b");
    assert_eq!(merged[0].receive, "ü".as_bytes());
}

#[test]
fn a_broken_escape_is_refused_with_its_place() {
    for (text, position) in [(r"ab\x0", 3), (r"\n", 1), (r"\", 1), (r"\xg0", 1)] {
        let item = UdpMonitorItem { recv: Some(text.to_owned()), ..UdpMonitorItem::default() };
        let monitors = UdpMonitors { udp: vec![item], ..UdpMonitors::default() };
        let problems = merged(&monitors).expect_err(text);
        assert_eq!(problems[0].path.as_str(), "monitors.udp[0].recv");
        assert_eq!(problems[0].problem, format!("broken escape at character {position}"));
        assert_eq!(problems[0].reason, Reason::InvalidMonitor);
    }
}

#[test]
fn keys_without_effect_are_named() {
    let monitors = tcp("[{username: a, password: secret}, {serversslProfileName: c}]");
    let paths = monitors.without_effect(&Path::of("monitors"));
    let paths: Vec<_> = paths.iter().map(Path::as_str).collect();
    let tcp = ["tcp[0].username", "tcp[0].password", "tcp[1].serversslProfileName"];
    assert_eq!(paths, tcp.map(|path| format!("monitors.{path}")));

    let item = MonitorItem { port: Some(7), ..MonitorItem::default() };
    let monitors = TcpMonitors { tcp: vec![item.clone()], icmp: vec![item] };
    let paths = monitors.without_effect(&Path::of("monitors"));
    assert_eq!(paths, [Path::of("monitors.icmp[0].port")]);
}
