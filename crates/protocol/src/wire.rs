//! Messages between nodes, encoded with postcard. Every frame and every list is bounded before it
//! is used.

use alloy_primitives::{B256, Bytes};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    ids::OrderId,
    receipt::{Halted, MAX_ORDER_TASKS},
    types::{Ack, Ask, Cancel, Deal, Order, Receipt, Release, Voucher},
};

/// Version of all messages in this module. Nodes of different versions refuse each other.
pub const WIRE_VERSION: u16 = 2;
/// Largest session message: 16 MiB. A receipt of 2^16 tasks has about 6 MiB.
pub const MAX_MESSAGE_BYTES: usize = 16 << 20;
/// Largest gossip message: one ask with its signature and addresses.
pub const MAX_GOSSIP_BYTES: usize = 2 << 10;
/// Largest payload inside a message: 1 MiB. Larger ones are blobs.
pub const MAX_INLINE_BYTES: usize = 1 << 20;
/// Longest signature, bytes: enough for an ERC-1271 wallet of a few owners.
pub const MAX_SIGNATURE_BYTES: usize = 1 << 10;
/// Longest detail for people, bytes.
pub const MAX_DETAIL_BYTES: usize = 512;
/// Most socket addresses of a peer.
pub const MAX_PEER_ADDRS: usize = 8;

/// A blob by content: BLAKE3 hash and exact size in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BlobRef {
    /// BLAKE3 hash of the content.
    pub hash: [u8; 32],
    /// Size of the content, bytes.
    pub size: u64,
}

/// Bytes, either inside the message or in the sender's blob store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Payload {
    /// The bytes, at most [`MAX_INLINE_BYTES`].
    Inline(Bytes),
    /// Blob to fetch from the sender.
    Blob(BlobRef),
}

/// Address of a peer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PeerAddr {
    /// Public key of the QUIC endpoint.
    pub endpoint: B256,
    /// Direct addresses, at most [`MAX_PEER_ADDRS`].
    pub direct: Vec<std::net::SocketAddr>,
    /// URL of the home relay, at most [`MAX_DETAIL_BYTES`].
    pub relay: Option<String>,
}

/// A struct with its signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed<T> {
    /// Signed struct.
    pub value: T,
    /// Signature of 65 bytes, or of an ERC-1271 wallet's own format.
    pub signature: Bytes,
}

/// Gossip message: an ask with the address of its provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskGossip {
    /// Signed ask.
    pub ask: Signed<Ask>,
    /// Unsigned hint of the address. The endpoint's key authenticates the node at that address.
    pub peer: PeerAddr,
}

/// Message from requester to provider in a deal's session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToProvider {
    /// First message of every session.
    Hello {
        /// [`WIRE_VERSION`].
        version: u16,
        /// Terms of the deal. The provider checks on chain that it is open.
        deal: Deal,
    },
    /// A batch of tasks.
    Order {
        /// Order with the requester's signature.
        order: Signed<Order>,
        /// The user's program, before canonicalisation, to be fetched from the requester.
        program: BlobRef,
        /// The job's shared input files, encoded by `rialto_machine`; `None` if there are none.
        shared: Option<BlobRef>,
        /// Every task's own input, encoded by `rialto_machine`, as one postcard `Vec<Bytes>`.
        inputs: Payload,
    },
    /// A payment.
    Voucher(Signed<Voucher>),
    /// A task's result was found wrong. The provider should run the task again. If its result does
    /// not reproduce, it should accept the closing voucher that follows; otherwise it should claim.
    Reject {
        /// Struct hash of the order.
        order: OrderId,
        /// Index of the task in the order.
        task: u32,
        /// H(halted) that the requester considers right.
        expected: B256,
    },
    /// An order is cancelled. With the signature the provider can answer a late notice.
    Cancel(Signed<Cancel>),
    /// Request for consent to close at this amount. The answer is `ToRequester::Release`.
    AskRelease {
        /// Cumulative amount, base units.
        amount: u128,
    },
}

/// Message from provider to requester in a deal's session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToRequester {
    /// Answer to `Hello`. It says what the provider has, so that both sides can resend lost
    /// messages.
    Welcome {
        /// [`WIRE_VERSION`].
        version: u16,
        /// Sequence number that the provider expects of the next order.
        next_seq: u64,
        /// Amount of the provider's best voucher, base units.
        paid: u128,
    },
    /// The order is accepted.
    Ack(Signed<Ack>),
    /// The order, hello or voucher is refused.
    Refuse {
        /// Struct hash of the order; `None` if the refusal concerns the whole deal.
        order: Option<OrderId>,
        /// Stable code, such as `P-ADM-003`.
        code: String,
        /// Detail for people, at most [`MAX_DETAIL_BYTES`].
        detail: String,
    },
    /// Progress of an order.
    Progress {
        /// Struct hash of the order.
        order: OrderId,
        /// Number of finished tasks.
        done: u32,
    },
    /// The result of an order.
    Receipt {
        /// Receipt with the provider's signature.
        receipt: Signed<Receipt>,
        /// Halted state of every task, in order.
        results: Vec<Halted>,
        /// Output streams of all tasks, concatenated in order. Their lengths are in `results`.
        outputs: Payload,
    },
    /// Consent to close.
    Release(Signed<Release>),
}

/// Reason why bytes from outside were refused.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum WireError {
    /// The frame is longer than its limit.
    #[error("[W-001] message of {bytes} bytes is over the limit of {limit}")]
    TooLong {
        /// Length of the frame, bytes.
        bytes: usize,
        /// Limit, bytes.
        limit: usize,
    },
    /// The bytes are not an encoding of the expected type, or some are left over.
    #[error("[W-002] malformed message: {0}")]
    Malformed(String),
    /// A field exceeds its limit.
    #[error("[W-003] {field} is over its limit of {limit}")]
    OverLimit {
        /// Name of the field.
        field: &'static str,
        /// Limit of the field.
        limit: usize,
    },
}

/// A message whose size and fields are bounded.
pub trait Message: Serialize + DeserializeOwned {
    /// Most bytes of the encoding.
    const MAX_BYTES: usize;

    /// Checks every bounded field.
    ///
    /// # Errors
    /// [`WireError::OverLimit`] for the first field over its limit.
    fn check(&self) -> Result<(), WireError>;

    /// Encodes the message.
    ///
    /// # Errors
    /// A [`WireError`] if the other side would refuse the message.
    fn encode(&self) -> Result<Vec<u8>, WireError> {
        self.check()?;
        let bytes = postcard::to_stdvec(self).map_err(|e| WireError::Malformed(e.to_string()))?;
        at_most(bytes.len(), Self::MAX_BYTES)?;
        Ok(bytes)
    }

    /// Decodes a message. It uses memory linear in `bytes.len()`, which is checked first.
    ///
    /// # Errors
    /// A [`WireError`] if the bytes are too long, malformed or out of bounds.
    fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        at_most(bytes.len(), Self::MAX_BYTES)?;
        let (value, rest): (Self, _) =
            postcard::take_from_bytes(bytes).map_err(|e| WireError::Malformed(e.to_string()))?;
        if !rest.is_empty() {
            return Err(WireError::Malformed(format!("{} bytes left over", rest.len())));
        }
        value.check()?;
        Ok(value)
    }
}

fn at_most(bytes: usize, limit: usize) -> Result<(), WireError> {
    if bytes > limit { Err(WireError::TooLong { bytes, limit }) } else { Ok(()) }
}

fn limit(field: &'static str, len: usize, limit: usize) -> Result<(), WireError> {
    if len > limit { Err(WireError::OverLimit { field, limit }) } else { Ok(()) }
}

impl Payload {
    fn check(&self) -> Result<(), WireError> {
        match self {
            Self::Inline(bytes) => limit("inline payload", bytes.len(), MAX_INLINE_BYTES),
            Self::Blob(_) => Ok(()),
        }
    }
}

impl<T> Signed<T> {
    fn check(&self) -> Result<(), WireError> {
        limit("signature", self.signature.len(), MAX_SIGNATURE_BYTES)
    }
}

impl PeerAddr {
    /// Checks the bounds of an address that came from outside.
    ///
    /// # Errors
    /// [`WireError::OverLimit`] if it has too many addresses or too long a relay URL.
    pub fn check(&self) -> Result<(), WireError> {
        limit("peer addresses", self.direct.len(), MAX_PEER_ADDRS)?;
        limit("relay url", self.relay.as_ref().map_or(0, String::len), MAX_DETAIL_BYTES)
    }
}

impl Message for AskGossip {
    const MAX_BYTES: usize = MAX_GOSSIP_BYTES;

    fn check(&self) -> Result<(), WireError> {
        self.ask.check()?;
        self.peer.check()
    }
}

impl Message for ToProvider {
    const MAX_BYTES: usize = MAX_MESSAGE_BYTES;

    fn check(&self) -> Result<(), WireError> {
        match self {
            Self::Order { order, inputs, .. } => {
                order.check()?;
                limit("tasks", order.value.tasks as usize, MAX_ORDER_TASKS as usize)?;
                inputs.check()
            }
            Self::Voucher(voucher) => voucher.check(),
            Self::Cancel(cancel) => cancel.check(),
            Self::Hello { .. } | Self::Reject { .. } | Self::AskRelease { .. } => Ok(()),
        }
    }
}

impl Message for ToRequester {
    const MAX_BYTES: usize = MAX_MESSAGE_BYTES;

    fn check(&self) -> Result<(), WireError> {
        match self {
            Self::Ack(ack) => ack.check(),
            Self::Refuse { code, detail, .. } => {
                limit("code", code.len(), 32)?;
                limit("detail", detail.len(), MAX_DETAIL_BYTES)
            }
            Self::Receipt { receipt, results, outputs } => {
                receipt.check()?;
                limit("results", results.len(), MAX_ORDER_TASKS as usize)?;
                outputs.check()
            }
            Self::Release(release) => release.check(),
            Self::Welcome { .. } | Self::Progress { .. } => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn refuses_what_is_over_a_limit() {
        let long =
            ToRequester::Refuse { order: None, code: "P-ADM-001".into(), detail: "x".repeat(513) };
        assert_eq!(long.encode(), Err(WireError::OverLimit { field: "detail", limit: 512 }));
        assert!(matches!(
            AskGossip::decode(&vec![0; MAX_GOSSIP_BYTES + 1]),
            Err(WireError::TooLong { .. })
        ));
        let fine =
            ToProvider::Reject { order: OrderId::repeat_byte(7), task: 1, expected: B256::ZERO };
        let mut bytes = fine.encode().unwrap();
        assert_eq!(ToProvider::decode(&bytes).unwrap(), fine);
        bytes.push(0);
        assert!(matches!(ToProvider::decode(&bytes), Err(WireError::Malformed(_))));
    }

    proptest! {
        #[test]
        fn decoding_garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = ToProvider::decode(&bytes);
            let _ = ToRequester::decode(&bytes);
            let _ = AskGossip::decode(&bytes);
        }
    }
}
