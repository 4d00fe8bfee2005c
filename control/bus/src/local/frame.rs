//! What goes over the socket: JSON, each text behind its length in four bytes.

use serde::{Deserialize, Serialize};
use spk_entitlement::messages::{Envelope, Properties};
use tokio::io::{AsyncWriteExt as _, WriteHalf};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio_util::codec::LengthDelimitedCodec;

/// One frame.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(tag = "frame", rename_all = "lowercase")]
pub enum Frame {
    /// Controller: whose messages it wants. The first frame.
    Hello {
        /// Its namespace.
        namespace: String,
    },
    /// CWC: the answer to `Hello`.
    Welcome,
    /// CWC: no; the connection ends.
    Refused {
        /// Why, in words.
        reason: String,
    },
    /// Controller: a message for the CWC.
    Publish {
        /// Repeated in the answer.
        number: u64,
        /// Its properties.
        properties: Properties,
        /// Its JSON text.
        body: String,
    },
    /// CWC: whether the message is in its queue.
    Answer {
        /// That of `Publish`.
        number: u64,
        /// False: the queue is full.
        taken: bool,
    },
    /// CWC: a message for the Controller.
    Deliver {
        /// Names this delivery on this connection.
        tag: u64,
        /// Whether it was given out before.
        redelivered: bool,
        /// Its properties.
        properties: Properties,
        /// Its JSON text.
        body: String,
    },
    /// Controller: the message is done.
    Done {
        /// That of `Deliver`.
        tag: u64,
    },
    /// Controller: the message shall come again.
    Back {
        /// That of `Deliver`.
        tag: u64,
    },
}

impl Frame {
    /// The bytes on the socket. None if the frame is too long.
    pub fn encode(&self) -> Option<Vec<u8>> {
        // Names, numbers and texts always become JSON.
        let text = serde_json::to_vec(self).ok()?;
        let length = u32::try_from(text.len()).ok().filter(|_| text.len() <= LIMIT)?;
        Some([&length.to_be_bytes()[..], &text].concat())
    }

    /// Reads what stood behind one length.
    pub fn decode(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(text).ok()
    }
}

/// Cuts the stream into frames; too long a one is an error.
pub fn codec() -> LengthDelimitedCodec {
    LengthDelimitedCodec::builder().max_frame_length(LIMIT).new_codec()
}

/// The body as text; none if it cannot be in a frame.
pub fn text(envelope: &Envelope) -> Option<String> {
    let body = std::str::from_utf8(&envelope.body).ok()?;
    (body.len() <= BODY_LIMIT).then(|| body.to_owned())
}

/// Writes frames until the peer is gone or nobody gives more.
pub async fn write_all(
    mut socket: WriteHalf<UnixStream>,
    mut frames: mpsc::UnboundedReceiver<Frame>,
) {
    while let Some(frame) = frames.recv().await {
        // A message that is too long was refused before; see `text`.
        let Some(bytes) = frame.encode() else { return };
        if socket.write_all(&bytes).await.is_err() {
            return;
        }
    }
    // The peer may have gone first.
    let _ = socket.shutdown().await;
}

/// Longest frame.
const LIMIT: usize = 4 << 20;
/// Longest body: what a recipient refuses must still reach it to be counted (LIC-726), and JSON may
/// write six letters for one byte.
const BODY_LIMIT: usize = 512 << 10;

#[cfg(test)]
mod tests {
    use spk_entitlement::messages::{Body, Message};
    use uuid::Uuid;

    use super::*;

    fn envelope() -> Envelope {
        Message {
            id: Uuid::from_u128(1),
            reply_to: None,
            namespace: String::from("demo"),
            body: Body::Goodbye,
        }
        .seal(0)
    }

    #[test]
    fn frame_comes_back_as_it_went() {
        let Envelope { properties, body, .. } = envelope();
        let body = String::from_utf8(body).unwrap();
        let frame = Frame::Deliver { tag: 7, redelivered: true, properties, body };
        let bytes = frame.encode().unwrap();
        let (length, text) = bytes.split_at(4);
        assert_eq!(length, u32::try_from(text.len()).unwrap().to_be_bytes());
        assert_eq!(Frame::decode(text), Some(frame));
        assert_eq!(Frame::decode(b"{\"frame\":\"other\"}"), None);
        assert_eq!(Frame::decode(b"\xff"), None);
    }

    #[test]
    fn longest_body_fits_whatever_its_letters() {
        let mut envelope = envelope();
        envelope.body = vec![1; BODY_LIMIT];
        let body = text(&envelope).unwrap();
        let frame = Frame::Publish { number: 0, properties: envelope.properties.clone(), body };
        assert!(frame.encode().is_some());
        envelope.body.push(1);
        assert_eq!(text(&envelope), None);
        envelope.body = vec![0xff];
        assert_eq!(text(&envelope), None);
    }
}
