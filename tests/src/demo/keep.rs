//! What to do with a lab that was left running.

use super::{PREFIX, stage::Stage};
use crate::plan::{self, Family};

/// Commands for people.
pub fn instructions(stage: &Stage) -> String {
    let resources = stage.node.resources().display().to_string();
    let settings = stage.node.settings().display().to_string();
    format!(
        "\nLeft running (KEEP=1). From another shell, as root, in this folder:
  curl it             ip netns exec {PREFIX}-client curl http://{web}/
  edit a resource     $EDITOR {resources}/*.yaml
  read its status     cat {resources}/*.status.yaml
  flows               ip netns exec {PREFIX}-node target/release/spkctl node flows --config {settings}
  drops               ip netns exec {PREFIX}-node curl -s http://127.0.0.4:9090/metrics | grep drop
  withdraw the lease  target/release/spkctl node lease close --config {settings}
  stop it             target/release/demo stop",
        web = plan::web(Family::V4),
    )
}
