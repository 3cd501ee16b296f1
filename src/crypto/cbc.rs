//! AES-CBC (RFC 3602) with unpredictable IVs.
