//! Messages between nodes. Encoded with postcard; every frame and every list is bounded before it
//! is believed.

use alloy_primitives::{B256, Bytes};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    ids::OrderId,
    receipt::{Halted, MAX_ORDER_TASKS},
    types::{Ack, Ask, Cancel, Deal, Order, Receipt, Release, Voucher},
};

/// Version of everything in this module. Nodes of different versions do not talk.
pub const WIRE_VERSION: u16 = 2;
/// Largest session message: 16 MiB (a receipt of 2^16 tasks is about 6 MiB).
pub const MAX_MESSAGE_BYTES: usize = 16 << 20;
/// Largest gossip message: one ask with its signature and addresses.
pub const MAX_GOSSIP_BYTES: usize = 2 << 10;
/// Largest payload sent inside a message rather than as a blob: 1 MiB.
pub const MAX_INLINE_BYTES: usize = 1 << 20;
/// Longest signature: an ERC-1271 wallet of a few owners.
pub const MAX_SIGNATURE_BYTES: usize = 1 << 10;
/// Longest human-readable detail.
pub const MAX_DETAIL_BYTES: usize = 512;
/// Most socket addresses of a peer.
pub const MAX_PEER_ADDRS: usize = 8;

/// A blob by content: BLAKE3 hash and exact size in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BlobRef {
    /// BLAKE3 of the content.
    pub hash: [u8; 32],
    /// Bytes.
    pub size: u64,
}

/// Bytes, either here or to be fetched from the sender's blob store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Payload {
    /// At most [`MAX_INLINE_BYTES`].
    Inline(Bytes),
    /// To be fetched.
    Blob(BlobRef),
}

/// How to reach a peer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PeerAddr {
    /// Public key of the QUIC endpoint.
    pub endpoint: B256,
    /// Direct addresses, at most [`MAX_PEER_ADDRS`].
    pub direct: Vec<std::net::SocketAddr>,
    /// Home relay's URL, at most [`MAX_DETAIL_BYTES`].
    pub relay: Option<String>,
}

/// A struct and its signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed<T> {
    /// What was signed.
    pub value: T,
    /// 65 bytes, or what an ERC-1271 wallet takes.
    pub signature: Bytes,
}

/// Gossip: an ask and where its provider is found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskGossip {
    /// The offer.
    pub ask: Signed<Ask>,
    /// A hint, unsigned: the endpoint's key authenticates whoever answers there.
    pub peer: PeerAddr,
}

/// Requester to provider, on a deal's session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToProvider {
    /// First message of every session, and again after a drop.
    Hello {
        /// [`WIRE_VERSION`].
        version: u16,
        /// Terms; the provider checks on chain that the deal is open.
        deal: Deal,
    },
    /// A batch of tasks.
    Order {
        /// Order and requester's signature.
        order: Signed<Order>,
        /// The user's program (before canonicalising), fetched from the requester.
        program: BlobRef,
        /// The job's shared input files, encoded by `rialto_machine`; absent if there are none.
        shared: Option<BlobRef>,
        /// Every task's own input, encoded by `rialto_machine`, as one postcard `Vec<Bytes>`.
        inputs: Payload,
    },
    /// A payment.
    Voucher(Signed<Voucher>),
    /// A task's result was found wrong. The provider should check itself: if its result does not
    /// reproduce, take the closing voucher that follows; if it does, claim.
    Reject {
        /// Struct hash of the order.
        order: OrderId,
        /// Task index within the order.
        task: u32,
        /// H(halted) the requester takes for right.
        expected: B256,
    },
    /// An order is not wanted any more. The signature is the provider's proof that it need not answer a late notice.
    Cancel(Signed<Cancel>),
    /// Asks for consent to close at this amount; answered with `ToRequester::Release`.
    AskRelease {
        /// Cumulative, base units.
        amount: u128,
    },
}

/// Provider to requester, on a deal's session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToRequester {
    /// Answer to `Hello`: what the provider has, so that both sides can resend what was lost.
    Welcome {
        /// [`WIRE_VERSION`].
        version: u16,
        /// Next order sequence number the provider expects.
        next_seq: u64,
        /// Best voucher amount the provider holds, base units.
        paid: u128,
    },
    /// The order is accepted.
    Ack(Signed<Ack>),
    /// The order, hello or voucher is refused.
    Refuse {
        /// Struct hash of the order; absent if it concerns the deal as a whole.
        order: Option<OrderId>,
        /// Stable code, such as `P-ADM-003`.
        code: String,
        /// For people, at most [`MAX_DETAIL_BYTES`].
        detail: String,
    },
    /// How far an order is.
    Progress {
        /// Struct hash of the order.
        order: OrderId,
        /// Tasks finished.
        done: u32,
    },
    /// The result of an order.
    Receipt {
        /// Receipt and provider's signature.
        receipt: Signed<Receipt>,
        /// Every task's end, in order.
        results: Vec<Halted>,
        /// Every task's output stream, concatenated in order (lengths are in `results`).
        outputs: Payload,
    },
    /// Consent to close.
    Release(Signed<Release>),
}

/// Why bytes from outside were refused.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum WireError {
    /// Frame longer than its limit.
    #[error("[W-001] message of {bytes} bytes is over the limit of {limit}")]
    TooLong {
        /// Length.
        bytes: usize,
        /// Limit.
        limit: usize,
    },
    /// Not an encoding of the expected type, or bytes left over.
    #[error("[W-002] malformed message: {0}")]
    Malformed(String),
    /// A field is over its limit.
    #[error("[W-003] {field} is over its limit of {limit}")]
    OverLimit {
        /// Field.
        field: &'static str,
        /// Limit.
        limit: usize,
    },
}

/// A message whose size and fields are bounded.
pub trait Message: Serialize + DeserializeOwned {
    /// Most bytes of its encoding.
    const MAX_BYTES: usize;

    /// Checks every bounded field.
    fn check(&self) -> Result<(), WireError>;

    /// Encodes, refusing what the other side would refuse.
    fn encode(&self) -> Result<Vec<u8>, WireError> {
        self.check()?;
        let bytes = postcard::to_stdvec(self).map_err(|e| WireError::Malformed(e.to_string()))?;
        at_most(bytes.len(), Self::MAX_BYTES)?;
        Ok(bytes)
    }

    /// Decodes. Memory used is linear in `bytes.len()`, which is checked first.
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
        let long = ToRequester::Refuse { order: None, code: "P-ADM-001".into(), detail: "x".repeat(513) };
        assert_eq!(long.encode(), Err(WireError::OverLimit { field: "detail", limit: 512 }));
        assert!(matches!(AskGossip::decode(&vec![0; MAX_GOSSIP_BYTES + 1]), Err(WireError::TooLong { .. })));
        let fine = ToProvider::Reject { order: OrderId::repeat_byte(7), task: 1, expected: B256::ZERO };
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
