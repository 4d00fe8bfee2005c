use super::CONTEXT;
use crate::rig::Rig;
use crate::settings::Mode;

/// LIC-500 (the names; the records are seen in the cwc suite): as the reference lists them.
#[test]
fn the_records_are_those_of_the_reference() {
    let names = "context licensestatus digitalassetid licensekey switchlicensestatus \
        telemetrystatus configreport configreportsignedackresponse activationstatus \
        activationtimestamp activationmessage initialregistrationstatus previousreportname \
        previousreportverifieddate entitlements statehistory statesofdecay modeofoperation \
        productname digitalassetname digitalassetversion customerprovidedid csr";
    let mut names: Vec<&str> = names.split_whitespace().collect();
    names.sort_unstable();
    assert_eq!(names.len(), 23);
    for rig in [Rig::waiting("eval", Mode::Disconnected), Rig::active("paid")] {
        let rows = rig.machine.projections(rig.now, Default::default());
        let mut ours: Vec<&str> = rows.iter().map(|row| row.name).collect();
        ours.push(CONTEXT);
        ours.sort_unstable();
        assert_eq!(ours, names);
        let immutable: Vec<&str> =
            rows.iter().filter(|row| row.immutable).map(|row| row.name).collect();
        assert_eq!(immutable, ["digitalassetid"]);
    }
}

#[test]
fn the_records_show_what_the_context_holds() {
    let rig = Rig::active("paid");
    let rows = rig.machine.projections(rig.now, Default::default());
    let text = |name: &str| rows.iter().find(|row| row.name == name).unwrap().text.clone();
    assert_eq!(text("licensekey"), rig.objects.jwt.clone().unwrap());
    assert_eq!(text("activationstatus"), "true");
    assert_eq!(text("configreport"), "");
    assert_eq!(text("modeofoperation"), "disconnected");
    let receipt = rig.machine.context().receipt.as_ref().unwrap();
    assert_eq!(text("configreportsignedackresponse"), *receipt.text);
    assert!(!text("csr").contains("\"d\""), "only the public part");
    assert!(!format!("{rows:?}").contains(&text("licensekey")), "Debug shows no token");
}
