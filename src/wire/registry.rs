//! IANA numbers as named newtypes: a number that we do not know keeps its value.
use std::fmt;

macro_rules! registry {
    ($(#[$doc:meta])* $name:ident($int:ty) { $($(#[$vdoc:meta])* $konst:ident = $value:expr,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub $int);
        #[allow(missing_docs, reason = "the names are IANA's own")]
        impl $name {
            $($(#[$vdoc])* pub const $konst: Self = Self($value);)*
            /// IANA's name, if we know one.
            pub fn name(self) -> Option<&'static str> {
                match self.0 { $($value => Some(stringify!($konst)),)* _ => None }
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.name() { Some(n) => f.write_str(n), None => write!(f, "{}({})", stringify!($name), self.0) }
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.name() { Some(n) => f.write_str(n), None => write!(f, "{}", self.0) }
            }
        }
    };
}

registry! {
    /// Exchange type (RFC 7296 section 3.1).
    ExchangeType(u8) { IKE_SA_INIT = 34, IKE_AUTH = 35, CREATE_CHILD_SA = 36, INFORMATIONAL = 37, IKE_INTERMEDIATE = 43, IKE_FOLLOWUP_KE = 44, }
}
registry! {
    /// Payload type (RFC 7296 section 3.2).
    PayloadType(u8) {
        NONE = 0, SA = 33, KE = 34, IDI = 35, IDR = 36, CERT = 37, CERTREQ = 38, AUTH = 39, NONCE = 40, NOTIFY = 41, DELETE = 42,
        VENDOR = 43, TSI = 44, TSR = 45, SK = 46, CP = 47, EAP = 48, SKF = 53,
    }
}
registry! {
    /// Security protocol (RFC 7296 section 3.3.1).
    ProtocolId(u8) { NONE = 0, IKE = 1, AH = 2, ESP = 3, }
}
registry! {
    /// Transform type (RFC 7296 section 3.3.2, RFC 9370).
    TransformType(u8) { ENCR = 1, PRF = 2, INTEG = 3, KE = 4, ESN = 5, ADDKE1 = 6, ADDKE2 = 7, ADDKE3 = 8, ADDKE4 = 9, ADDKE5 = 10, ADDKE6 = 11, ADDKE7 = 12, }
}
impl TransformType {
    /// Additional Key Exchange 1 to 7 (RFC 9370).
    pub fn is_additional(self) -> bool {
        (Self::ADDKE1..=Self::ADDKE7).contains(&self)
    }
    /// The first key exchange, or an additional one: their transforms have the same numbers.
    pub fn is_key_exchange(self) -> bool {
        self == Self::KE || self.is_additional()
    }
}
registry! {
    /// Encryption algorithm.
    EncrId(u16) {
        DES = 2, TRIPLE_DES = 3, CAST = 6, BLOWFISH = 7, NULL = 11, AES_CBC = 12, AES_CTR = 13, AES_CCM_8 = 14, AES_CCM_12 = 15, AES_CCM_16 = 16,
        AES_GCM_8 = 18, AES_GCM_12 = 19, AES_GCM_16 = 20, NULL_AUTH_AES_GMAC = 21, CAMELLIA_CBC = 23, CAMELLIA_CTR = 24,
        CAMELLIA_CCM_8 = 25, CAMELLIA_CCM_12 = 26, CAMELLIA_CCM_16 = 27, CHACHA20_POLY1305 = 28,
    }
}
registry! {
    /// Pseudorandom function.
    PrfId(u16) { HMAC_MD5 = 1, HMAC_SHA1 = 2, AES128_XCBC = 4, HMAC_SHA2_256 = 5, HMAC_SHA2_384 = 6, HMAC_SHA2_512 = 7, AES128_CMAC = 8, }
}
registry! {
    /// Integrity algorithm.
    IntegId(u16) {
        NONE = 0, HMAC_MD5_96 = 1, HMAC_SHA1_96 = 2, AES_XCBC_96 = 5, HMAC_MD5_128 = 6, HMAC_SHA1_160 = 7, AES_CMAC_96 = 8, HMAC_SHA2_256_128 = 12, HMAC_SHA2_384_192 = 13, HMAC_SHA2_512_256 = 14,
    }
}
registry! {
    /// Key exchange method (Diffie-Hellman group, ML-KEM).
    KeId(u16) {
        NONE = 0, MODP_768 = 1, MODP_1024 = 2, MODP_1536 = 5, MODP_2048 = 14, MODP_3072 = 15, MODP_4096 = 16, MODP_6144 = 17, MODP_8192 = 18,
        ECP_256 = 19, ECP_384 = 20, ECP_521 = 21, MODP_1024_160 = 22, MODP_2048_224 = 23, MODP_2048_256 = 24, ECP_192 = 25, ECP_224 = 26,
        BRAINPOOL_224 = 27, BRAINPOOL_256 = 28, BRAINPOOL_384 = 29, BRAINPOOL_512 = 30, CURVE25519 = 31, CURVE448 = 32,
        ML_KEM_512 = 35, ML_KEM_768 = 36, ML_KEM_1024 = 37,
    }
}
registry! {
    /// Extended sequence numbers transform.
    EsnId(u16) { NO = 0, YES = 1, }
}
registry! {
    /// Identification type (RFC 7296 section 3.5).
    IdType(u8) { IPV4_ADDR = 1, FQDN = 2, RFC822_ADDR = 3, IPV6_ADDR = 5, DER_ASN1_DN = 9, DER_ASN1_GN = 10, KEY_ID = 11, NULL = 13, }
}
registry! {
    /// Authentication method (RFC 7296 section 3.8).
    AuthMethod(u8) { RSA = 1, SHARED_KEY = 2, DSS = 3, ECDSA_256 = 9, ECDSA_384 = 10, ECDSA_521 = 11, NULL = 13, DIGITAL_SIGNATURE = 14, }
}
registry! {
    /// Traffic selector type.
    TsType(u8) { IPV4_ADDR_RANGE = 7, IPV6_ADDR_RANGE = 8, FC_ADDR_RANGE = 9, SECLABEL = 10, }
}
registry! {
    /// Certificate encoding.
    CertEncoding(u8) { PKCS7 = 1, X509_SIGNATURE = 4, CRL = 7, HASH_AND_URL = 12, HASH_AND_URL_BUNDLE = 13, OCSP = 14, RAW_PUBLIC_KEY = 15, }
}
registry! {
    /// Configuration payload kind.
    CfgType(u8) { REQUEST = 1, REPLY = 2, SET = 3, ACK = 4, }
}
registry! {
    /// Configuration attribute.
    CfgAttr(u16) {
        INTERNAL_IP4_ADDRESS = 1, INTERNAL_IP4_NETMASK = 2, INTERNAL_IP4_DNS = 3, INTERNAL_IP4_NBNS = 4, INTERNAL_IP4_DHCP = 6, APPLICATION_VERSION = 7,
        INTERNAL_IP6_ADDRESS = 8, INTERNAL_IP6_DNS = 10, INTERNAL_IP6_DHCP = 12, INTERNAL_IP4_SUBNET = 13, SUPPORTED_ATTRIBUTES = 14,
        INTERNAL_IP6_SUBNET = 15, MIP6_HOME_PREFIX = 16, INTERNAL_IP6_LINK = 17, INTERNAL_IP6_PREFIX = 18, INTERNAL_DNS_DOMAIN = 25, INTERNAL_DNSSEC_TA = 26,
    }
}
registry! {
    /// Notify message type (RFC 7296 section 3.10.1 and later registrations).
    NotifyType(u16) {
        UNSUPPORTED_CRITICAL_PAYLOAD = 1, INVALID_IKE_SPI = 4, INVALID_MAJOR_VERSION = 5, INVALID_SYNTAX = 7, INVALID_MESSAGE_ID = 9, INVALID_SPI = 11,
        NO_PROPOSAL_CHOSEN = 14, INVALID_KE_PAYLOAD = 17, AUTHENTICATION_FAILED = 24, SINGLE_PAIR_REQUIRED = 34, NO_ADDITIONAL_SAS = 35,
        INTERNAL_ADDRESS_FAILURE = 36, FAILED_CP_REQUIRED = 37, TS_UNACCEPTABLE = 38, INVALID_SELECTORS = 39, UNACCEPTABLE_ADDRESSES = 40,
        UNEXPECTED_NAT_DETECTED = 41, TEMPORARY_FAILURE = 43, CHILD_SA_NOT_FOUND = 44, INVALID_GROUP_ID = 45, AUTHORIZATION_FAILED = 46,
        STATE_NOT_FOUND = 47, TS_MAX_QUEUE = 48,
        INITIAL_CONTACT = 16384, SET_WINDOW_SIZE = 16385, ADDITIONAL_TS_POSSIBLE = 16386, IPCOMP_SUPPORTED = 16387, NAT_DETECTION_SOURCE_IP = 16388,
        NAT_DETECTION_DESTINATION_IP = 16389, COOKIE = 16390, USE_TRANSPORT_MODE = 16391, HTTP_CERT_LOOKUP_SUPPORTED = 16392, REKEY_SA = 16393,
        ESP_TFC_PADDING_NOT_SUPPORTED = 16394, NON_FIRST_FRAGMENTS_ALSO = 16395, MOBIKE_SUPPORTED = 16396, ADDITIONAL_IP4_ADDRESS = 16397,
        ADDITIONAL_IP6_ADDRESS = 16398, NO_ADDITIONAL_ADDRESSES = 16399, UPDATE_SA_ADDRESSES = 16400, COOKIE2 = 16401, NO_NATS_ALLOWED = 16402,
        AUTH_LIFETIME = 16403, MULTIPLE_AUTH_SUPPORTED = 16404, ANOTHER_AUTH_FOLLOWS = 16405, REDIRECT_SUPPORTED = 16406, REDIRECT = 16407,
        ROHC_SUPPORTED = 16416, EAP_ONLY_AUTHENTICATION = 16417, CHILDLESS_IKEV2_SUPPORTED = 16418, QUICK_CRASH_DETECTION = 16419,
        IKEV2_MESSAGE_ID_SYNC_SUPPORTED = 16420, IKEV2_FRAGMENTATION_SUPPORTED = 16430, SIGNATURE_HASH_ALGORITHMS = 16431, CLONE_IKE_SA_SUPPORTED = 16432,
        USE_PPK = 16435, PPK_IDENTITY = 16436, NO_PPK_AUTH = 16437, INTERMEDIATE_EXCHANGE_SUPPORTED = 16438, ADDITIONAL_KEY_EXCHANGE = 16441,
        USE_AGGFRAG = 16442, SUPPORTED_AUTH_METHODS = 16443, SA_RESOURCE_INFO = 16444,
    }
}
impl NotifyType {
    /// Error types end an exchange; status types inform (RFC 7296 section 3.10.1).
    pub const fn is_error(self) -> bool {
        self.0 < 16384
    }
}
