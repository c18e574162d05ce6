//! Encoding of netlink messages and attributes, and of nf_tables expressions
//! (`linux/netlink.h`, `linux/netfilter/nf_tables.h`). Lengths and types are in
//! the host's byte order, nf_tables' own numbers in network byte order.

/// `NFNETLINK_V0`.
const NFNETLINK_V0: u8 = 0;
/// `NFNL_SUBSYS_NFTABLES`.
const SUBSYS_NFTABLES: u16 = 10;
/// `NFNL_MSG_BATCH_BEGIN`, `NFNL_MSG_BATCH_END`.
const BATCH: [u16; 2] = [16, 17];

const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ACK: u16 = 0x4;
/// `NLM_F_CREATE`.
pub(super) const CREATE: u16 = 0x400;
/// `NLM_F_APPEND`.
pub(super) const APPEND: u16 = 0x800;
/// `NLM_F_EXCL`.
pub(super) const EXCLUSIVE: u16 = 0x200;
/// Marks an attribute that holds attributes.
const NESTED: u16 = 0x8000;

/// `NFPROTO_UNSPEC`, `NFPROTO_INET`.
pub(super) const INET: u8 = 1;

/// Length of `struct nlmsghdr`.
pub(in crate::runtime) const HEADER: usize = 16;

/// Messages that take effect together or not at all.
pub(super) struct Batch {
    bytes: Vec<u8>,
    sequence: u32,
    /// What each acknowledged message does, for errors: the first is `first_sequence + 1`.
    what: Vec<&'static str>,
    first: u32,
}

impl Batch {
    /// Begins; messages are numbered from `first`.
    pub fn begin(first: u32) -> Self {
        let mut batch = Batch {
            bytes: Vec::new(),
            sequence: first,
            what: Vec::new(),
            first,
        };
        batch.boundary(BATCH[0]);
        batch
    }

    fn boundary(&mut self, kind: u16) {
        let start = self.header(kind, NLM_F_REQUEST, 0, SUBSYS_NFTABLES);
        self.finish(start);
    }

    fn header(&mut self, kind: u16, flags: u16, family: u8, resource: u16) -> usize {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&0u32.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(&flags.to_ne_bytes());
        self.bytes.extend_from_slice(&self.sequence.to_ne_bytes());
        self.bytes.extend_from_slice(&0u32.to_ne_bytes());
        self.bytes.extend_from_slice(&[family, NFNETLINK_V0]);
        self.bytes.extend_from_slice(&resource.to_be_bytes());
        self.sequence = self.sequence.wrapping_add(1);
        start
    }

    fn finish(&mut self, start: usize) {
        let length = (self.bytes.len() - start) as u32;
        self.bytes[start..start + 4].copy_from_slice(&length.to_ne_bytes());
    }

    /// One nf_tables message of the `inet` family, to be acknowledged. `what` names it in errors.
    pub fn message(&mut self, kind: u8, flags: u16, what: &'static str, attributes: Attributes) {
        let kind = (SUBSYS_NFTABLES << 8) | u16::from(kind);
        let start = self.header(kind, NLM_F_REQUEST | NLM_F_ACK | flags, INET, 0);
        self.bytes.extend_from_slice(&attributes.0);
        self.finish(start);
        self.what.push(what);
    }

    /// Ends the batch: its bytes, and what each message does by its number.
    pub fn end(mut self) -> (Vec<u8>, Vec<(u32, &'static str)>) {
        self.boundary(BATCH[1]);
        let first = self.first.wrapping_add(1);
        let numbers = (0u32..).map(|i| first.wrapping_add(i));
        (self.bytes, numbers.zip(self.what).collect())
    }
}

/// Attributes, one after the other, each padded to four bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::runtime) struct Attributes(Vec<u8>);

impl Attributes {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes as they are.
    pub fn bytes(mut self, kind: u16, value: &[u8]) -> Self {
        let length = (4 + value.len()) as u16;
        self.0.extend_from_slice(&length.to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    /// All of them.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// A string with its final zero.
    pub fn text(self, kind: u16, value: &str) -> Self {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.bytes(kind, &bytes)
    }

    /// A 32-bit number.
    pub fn u32(self, kind: u16, value: u32) -> Self {
        self.bytes(kind, &value.to_be_bytes())
    }

    /// A 64-bit number.
    pub fn u64(self, kind: u16, value: u64) -> Self {
        self.bytes(kind, &value.to_be_bytes())
    }

    /// Attributes within.
    pub fn nest(self, kind: u16, inner: Attributes) -> Self {
        self.bytes(kind | NESTED, &inner.0)
    }
}

/// `NFTA_LIST_ELEM`.
const LIST_ELEM: u16 = 1;
/// `NFT_REG_1`.
const REGISTER: u32 = 1;

/// Expressions of a rule: each looks at the packet or ends the rule.
#[derive(Default)]
pub(super) struct Rule(Attributes);

impl Rule {
    /// Matches everything.
    pub fn new() -> Self {
        Self::default()
    }

    fn expression(self, name: &str, data: Attributes) -> Self {
        // NFTA_EXPR_NAME, NFTA_EXPR_DATA
        let expression = Attributes::new().text(1, name).nest(2, data);
        Rule(self.0.nest(LIST_ELEM, expression))
    }

    /// Loads something about the packet: `NFT_META_*`.
    pub fn load_meta(self, key: u32) -> Self {
        // NFTA_META_DREG, NFTA_META_KEY
        self.expression("meta", Attributes::new().u32(1, REGISTER).u32(2, key))
    }

    /// Loads bytes of the network header.
    pub fn load_network_header(self, offset: u32, length: u32) -> Self {
        const NETWORK_HEADER: u32 = 1;
        // NFTA_PAYLOAD_DREG, _BASE, _OFFSET, _LEN
        let data = Attributes::new().u32(1, REGISTER).u32(2, NETWORK_HEADER);
        self.expression("payload", data.u32(3, offset).u32(4, length))
    }

    /// Loads a constant.
    pub fn load_constant(self, value: &[u8]) -> Self {
        // NFTA_IMMEDIATE_DREG, _DATA; NFTA_DATA_VALUE
        let value = Attributes::new().bytes(1, value);
        self.expression(
            "immediate",
            Attributes::new().u32(1, REGISTER).nest(2, value),
        )
    }

    /// Goes on only if what was loaded equals (or differs from) a value.
    pub fn compare(self, equal: bool, value: &[u8]) -> Self {
        // NFTA_CMP_SREG, _OP (NFT_CMP_EQ, NFT_CMP_NEQ), _DATA
        let data = Attributes::new().u32(1, REGISTER).u32(2, u32::from(!equal));
        self.expression("cmp", data.nest(3, Attributes::new().bytes(1, value)))
    }

    /// Goes on only if what was loaded is in a set.
    pub fn lookup(self, set: &str) -> Self {
        // NFTA_LOOKUP_SET, _SREG
        self.expression("lookup", Attributes::new().text(1, set).u32(2, REGISTER))
    }

    /// Loads what a map says of what was loaded; goes on only if it says something.
    pub fn translate(self, map: &str) -> Self {
        // NFTA_LOOKUP_SET, _SREG, _DREG
        let data = Attributes::new().text(1, map).u32(2, REGISTER);
        self.expression("lookup", data.u32(3, REGISTER))
    }

    /// Counts the packet.
    pub fn count(self) -> Self {
        // NFTA_COUNTER_BYTES, _PACKETS
        self.expression("counter", Attributes::new().u64(1, 0).u64(2, 0))
    }

    /// Loads bytes of the transport header.
    pub fn load_transport_header(self, offset: u32, length: u32) -> Self {
        const TRANSPORT_HEADER: u32 = 2;
        let data = Attributes::new().u32(1, REGISTER).u32(2, TRANSPORT_HEADER);
        self.expression("payload", data.u32(3, offset).u32(4, length))
    }

    /// Keeps these bits of one byte that was loaded.
    pub fn mask(self, bits: u8) -> Self {
        // NFTA_BITWISE_SREG, _DREG, _LEN, _MASK, _XOR
        let data = Attributes::new().u32(1, REGISTER).u32(2, REGISTER);
        let value = |byte: u8| Attributes::new().bytes(1, &[byte]);
        let data = data.u32(3, 1).nest(4, value(bits)).nest(5, value(0));
        self.expression("bitwise", data)
    }

    /// Sets something about the packet to what was loaded; the last expression, behind which other
    /// rules follow.
    pub fn set_meta(self, key: u32) -> Attributes {
        // NFTA_META_KEY, NFTA_META_SREG
        let data = Attributes::new().u32(2, key).u32(3, REGISTER);
        self.expression("meta", data).0
    }

    /// Rejects the packet; the last expression. Type and code: `enum nft_reject_types`,
    /// `enum nft_reject_inet_code`.
    pub fn reject(self, kind: u32, code: u8) -> Attributes {
        // NFTA_REJECT_TYPE, _ICMP_CODE
        let data = Attributes::new().u32(1, kind).bytes(2, &[code]);
        self.expression("reject", data).0
    }

    /// Hands the packet to whoever listens at a queue, and lets it pass if nobody does; the last
    /// expression.
    pub fn queue(self, number: u16) -> Attributes {
        const BYPASS: u16 = 1;
        // NFTA_QUEUE_NUM, _TOTAL, _FLAGS
        let data = Attributes::new()
            .bytes(1, &number.to_be_bytes())
            .bytes(2, &1u16.to_be_bytes())
            .bytes(3, &BYPASS.to_be_bytes());
        self.expression("queue", data).0
    }

    /// The same by way of the older tables' target, for kernels without the expression.
    pub fn queue_by_target(self, number: u16) -> Attributes {
        const BYPASS: u16 = 1;
        // `struct xt_NFQ_info_v3`, padded to eight bytes.
        let info: Vec<u8> = [number, 1, BYPASS, 0]
            .iter()
            .flat_map(|n| n.to_ne_bytes())
            .collect();
        // NFTA_TARGET_NAME, _REV, _INFO
        let data = Attributes::new().text(1, "NFQUEUE").u32(2, 3);
        self.expression("target", data.bytes(3, &info)).0
    }

    /// Goes on only if the one byte that was loaded is none below and none above these.
    pub fn within(self, first: u8, last: u8) -> Self {
        const LESS_OR_EQUAL: u32 = 3;
        const GREATER_OR_EQUAL: u32 = 5;
        // NFTA_CMP_SREG, _OP, _DATA
        let compare = |rule: Rule, how, with: u8| {
            let data = Attributes::new().u32(1, REGISTER).u32(2, how);
            rule.expression("cmp", data.nest(3, Attributes::new().bytes(1, &[with])))
        };
        compare(compare(self, GREATER_OR_EQUAL, first), LESS_OR_EQUAL, last)
    }

    /// Drops the packet; the last expression.
    pub fn drop_packet(self) -> Attributes {
        const NF_DROP: u32 = 0;
        self.ends(NF_DROP)
    }

    /// Lets it through, past all other rules of the chain; the last expression.
    pub fn accept_packet(self) -> Attributes {
        const NF_ACCEPT: u32 = 1;
        self.ends(NF_ACCEPT)
    }

    fn ends(self, verdict: u32) -> Attributes {
        const VERDICT_REGISTER: u32 = 0;
        // NFTA_DATA_VERDICT, NFTA_VERDICT_CODE
        let verdict = Attributes::new().nest(2, Attributes::new().u32(1, verdict));
        let data = Attributes::new().u32(1, VERDICT_REGISTER).nest(2, verdict);
        self.expression("immediate", data).0
    }
}

/// An acknowledgement or error in what the kernel answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::runtime) struct Acknowledged {
    /// Number of the message.
    pub sequence: u32,
    /// 0 or an errno.
    pub errno: i32,
}

/// Reads the acknowledgements out of one datagram; other messages are skipped.
pub(in crate::runtime) fn acknowledgements(mut datagram: &[u8]) -> Vec<Acknowledged> {
    const NLMSG_ERROR: u16 = 2;
    let mut found = Vec::new();
    while let Some((head, _)) = datagram.split_first_chunk::<HEADER>() {
        let [a, b, c, d, e, f, _, _, s0, s1, s2, s3, ..] = *head;
        let length = u32::from_ne_bytes([a, b, c, d]) as usize;
        if length < HEADER || length > datagram.len() {
            break;
        }
        if u16::from_ne_bytes([e, f]) == NLMSG_ERROR
            && let Some(code) = datagram[HEADER..length].first_chunk::<4>()
        {
            found.push(Acknowledged {
                sequence: u32::from_ne_bytes([s0, s1, s2, s3]),
                errno: i32::from_ne_bytes(*code).saturating_neg(),
            });
        }
        datagram = datagram
            .get(length.next_multiple_of(4)..)
            .unwrap_or_default();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_padded_and_nested() {
        let inner = Attributes::new().text(1, "ab");
        let mut expected = 7u16.to_ne_bytes().to_vec();
        expected.extend(1u16.to_ne_bytes());
        expected.extend(*b"ab\0\0");
        assert_eq!(inner.0, expected);
        let outer = Attributes::new().nest(2, inner).u32(3, 1);
        let mut nested = 12u16.to_ne_bytes().to_vec();
        nested.extend(0x8002u16.to_ne_bytes());
        nested.extend(expected);
        nested.extend(8u16.to_ne_bytes());
        nested.extend(3u16.to_ne_bytes());
        nested.extend([0, 0, 0, 1]);
        assert_eq!(outer.0, nested);
    }

    #[test]
    fn a_batch_is_framed_and_numbered() {
        let mut batch = Batch::begin(40);
        batch.message(0, CREATE, "table", Attributes::new().text(1, "x"));
        let (bytes, what) = batch.end();
        assert_eq!(what, [(41, "table")]);
        let kind = |at: usize| u16::from_ne_bytes([bytes[at + 4], bytes[at + 5]]);
        let length = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
        assert_eq!((kind(0), length(0)), (16, 20));
        // The resource id of a boundary is the subsystem, in network byte order.
        assert_eq!(bytes[18..20], [0, 10]);
        assert_eq!((kind(20), length(20)), (10 << 8, 28));
        let flags = u16::from_ne_bytes([bytes[26], bytes[27]]);
        assert_eq!(flags, NLM_F_REQUEST | NLM_F_ACK | CREATE);
        assert_eq!(bytes[28..32], 41u32.to_ne_bytes());
        assert_eq!((kind(48), length(48)), (17, 20));
        assert_eq!(bytes.len(), 68);
    }

    #[test]
    fn answers_are_read_with_their_numbers_and_broken_ones_are_not() {
        let ack = |sequence: u32, code: i32| {
            let mut m = 36u32.to_ne_bytes().to_vec();
            m.extend(2u16.to_ne_bytes());
            m.extend(0u16.to_ne_bytes());
            m.extend(sequence.to_ne_bytes());
            m.extend(0u32.to_ne_bytes());
            m.extend(code.to_ne_bytes());
            m.resize(36, 0);
            m
        };
        let mut datagram = ack(5, 0);
        datagram.extend(ack(6, -2));
        let found = acknowledgements(&datagram);
        let expected = [
            Acknowledged {
                sequence: 5,
                errno: 0,
            },
            Acknowledged {
                sequence: 6,
                errno: 2,
            },
        ];
        assert_eq!(found, expected);
        assert_eq!(acknowledgements(&datagram[..40]), [expected[0]]);
        assert_eq!(acknowledgements(b"short"), []);
        assert_eq!(acknowledgements(&[0; 32]), []);
    }
}
