//! Splitting and gathering encrypted fragments (RFC 7383); the cryptography of each is the caller's.
