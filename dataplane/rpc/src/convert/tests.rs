use super::*;

#[test]
fn a_report_survives_the_wire() {
    let object = ObjectRef {
        kind: "F5SPKVlan".to_owned(),
        namespace: String::new(),
        name: "external".to_owned(),
    };
    let report = ApplyReport {
        generation: 7,
        accepted: false,
        errors: vec![ReportedError {
            path: "vlans[external].tag".to_owned(),
            code: "out_of_range".to_owned(),
            text: "5000 is outside 0 to 4094".to_owned(),
        }],
        problems: vec![ObjectProblem {
            object,
            code: "device_missing".to_owned(),
            text: "1.3: no such interface".to_owned(),
        }],
    };
    let reply = proto::ApplyReply::new(&report, 6);
    assert_eq!(reply.running, 6);
    assert_eq!(ApplyReport::from(reply), report);
}

#[test]
fn a_snapshot_travels_in_its_canonical_encoding() {
    let spec = Spec { generation: 3, ..Spec::default() };
    let request = proto::ApplyRequest::new(&spec);
    assert_eq!(Spec::decode(&request.spec).unwrap(), spec);
}

#[test]
fn cells_are_read_by_the_name_of_their_column() {
    let table = proto::Table {
        name: "drop_stat".to_owned(),
        columns: vec!["reason".to_owned(), "packets".to_owned()],
        rows: vec![proto::Row {
            cells: vec![proto::Cell::text("no_route"), proto::Cell::number(9)],
        }],
    };
    let row = &table.rows[0];
    assert_eq!(table.text_at(row, "reason"), Some("no_route"));
    assert_eq!(table.number_at(row, "packets"), Some(9));
    assert_eq!(table.number_at(row, "reason"), None);
    assert_eq!(table.number_at(row, "bytes"), None);
}
