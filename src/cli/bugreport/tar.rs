//! Tar files as POSIX has them (ustar): what every tool reads, and no more of it than a report needs.

const BLOCK: usize = 512;

/// A tar file under way.
#[derive(Debug, Default)]
pub(super) struct Archive {
    octets: Vec<u8>,
}
impl Archive {
    /// A file, which its owner may read.
    pub(super) fn add(&mut self, name: &str, contents: &[u8]) {
        let mut head = [0u8; BLOCK];
        let mut put = |at: usize, text: &str| head[at..at + text.len()].copy_from_slice(text.as_bytes());
        // Our own names are short.
        put(0, name.get(..99.min(name.len())).unwrap_or("entry"));
        put(100, "0000600\0");
        put(108, "0000000\0");
        put(116, "0000000\0");
        put(124, &format!("{:011o}\0", contents.len()));
        put(136, "00000000000\0");
        put(148, "        ");
        put(156, "0");
        put(257, "ustar\x0000");
        let sum: u32 = head.iter().map(|octet| u32::from(*octet)).sum();
        head[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.octets.extend_from_slice(&head);
        self.octets.extend_from_slice(contents);
        self.octets.resize(self.octets.len().next_multiple_of(BLOCK), 0);
    }
    /// Two empty blocks end it.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.octets.extend_from_slice(&[0; 2 * BLOCK]);
        self.octets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_adds_up() {
        let mut archive = Archive::default();
        archive.add("host/kernel.txt", b"Linux\n");
        archive.add("empty", b"");
        let octets = archive.finish();
        assert_eq!(octets.len(), 5 * BLOCK);
        let field = |at: usize, len: usize| std::str::from_utf8(&octets[at..at + len]).unwrap();
        assert_eq!((field(0, 15), field(124, 11), field(257, 5)), ("host/kernel.txt", "00000000006", "ustar"));
        let mut head = octets[..BLOCK].to_vec();
        head[148..156].fill(b' ');
        let sum: u32 = head.iter().map(|octet| u32::from(*octet)).sum();
        assert_eq!(u32::from_str_radix(field(148, 6), 8).unwrap(), sum);
        assert_eq!(&octets[BLOCK..BLOCK + 6], b"Linux\n");
    }
}
