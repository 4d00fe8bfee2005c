//! What to do with a lab that was left running.

use super::{PREFIX, stage::Stage};
use crate::plan::{self, Family};

/// Commands for people.
pub fn instructions(stage: &Stage) -> String {
    let resources = stage.node.resources().display().to_string();
    let state = stage.node.state().display().to_string();
    format!(
        "\nLeft running (KEEP=1). From another shell, as root, in this folder:
  curl it             ip netns exec {PREFIX}-client curl http://{web}/
  edit a resource     $EDITOR {resources}/*.yaml
  read its status     cat {resources}/*.status.yaml
  flows               ip netns exec {PREFIX}-node target/release/spkctl node flows --state-dir {state}
  drops               ip netns exec {PREFIX}-node target/release/spkctl node drops --state-dir {state}
  the licence         ip netns exec {PREFIX}-node target/release/spkctl node status --state-dir {state}
  stop it             target/release/demo stop",
        web = plan::web(Family::V4),
    )
}
