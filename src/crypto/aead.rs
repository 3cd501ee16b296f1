//! AES-GCM with a 16-octet ICV (RFC 4106, 5282) and ChaCha20-Poly1305 (RFC 7634).
