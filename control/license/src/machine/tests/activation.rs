//! From start to the first receipt.

use spk_entitlement::{Class, Reason, Verdict};

use crate::event::Event;
use crate::rig::Rig;
use crate::settings::Mode;
use crate::state::{Slot, State};
use crate::step::Answer;

#[test]
fn a_disconnected_activation_goes_from_0_to_12() {
    let mut rig = Rig::waiting("paid", Mode::Disconnected);
    assert_eq!(rig.states(), [Some(7), None, None, None]);
    assert_eq!(rig.ruling(), (Verdict::Block, Reason::NotActivated));
    let report = rig.download();
    assert_eq!(rig.state(Slot::License), Some(10));
    assert_eq!(rig.download(), report);
    let receipt = rig.receipt(Slot::License);
    let answer = rig.feed(Event::Receipt(receipt)).unwrap();
    assert_eq!(answer, Answer::Accepted { state: State::VerificationComplete });
    assert_eq!(rig.states(), [Some(12), None, Some(17), None]);
    assert_eq!(rig.class(), Class::Production);
    assert_eq!(rig.ruling(), (Verdict::Allow, Reason::Verified));
}
