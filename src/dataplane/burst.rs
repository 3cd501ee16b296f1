//! Turns for others on this core, between bursts of what has no window.

/// Packets that are delivered before others have a turn: a program's socket holds some 250 small datagrams, unless it was told otherwise.
pub const BURST: usize = 64;

const TCP: u8 = 6;

/// Packets without a window that were delivered since others had a turn.
#[derive(Debug, Default)]
pub struct Burst(pub(super) usize);

impl Burst {
    /// Counts packets that were delivered as one, which begins with this IP header. True if it is the others' turn.
    pub fn count(&mut self, ip: &[u8], packets: usize) -> bool {
        let proto = if ip.first().is_some_and(|first| first >> 4 == 6) { ip.get(6) } else { ip.get(9) };
        // TCP has windows; what else comes in bursts is lost where nobody gets round to receive it.
        if proto != Some(&TCP) {
            self.0 += packets;
        }
        let over = self.0 >= BURST;
        if over {
            self.0 = 0;
        }
        over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(ipv6: bool, proto: u8) -> Vec<u8> {
        let (at, len) = if ipv6 { (6, 40) } else { (9, 20) };
        let mut header = vec![0; len];
        (header[0], header[at]) = (if ipv6 { 0x60 } else { 0x45 }, proto);
        header
    }

    #[test]
    fn others_have_a_turn_after_so_many_packets_without_a_window() {
        for ipv6 in [false, true] {
            let mut burst = Burst::default();
            for proto in [17, 1, 47, 58].repeat(2) {
                assert!(!burst.count(&header(ipv6, proto), BURST - 1));
                assert!(!burst.count(&header(ipv6, TCP), 1000));
                assert!(burst.count(&header(ipv6, proto), 1));
            }
        }
        assert!(Burst::default().count(&[], BURST));
    }
}
