//! IKE SPIs that carry a keyed tag, so that anybody who has the key knows ours without a table (design: IKE on 4500).
use super::event::Host;
use crate::crypto::constant_time_eq;
use crate::crypto::prf::Prf;
use crate::crypto::secret::Secret;
use crate::frozen::frozen;
use crate::wire::message::IkeSpi;

/// Four random octets, and four octets of a PRF over them.
pub(super) struct SpiTag(Secret);
frozen! { struct SpiTag(key) }
impl SpiTag {
    /// With a fresh key.
    pub(super) fn new(host: &mut dyn Host) -> Self {
        let mut key = vec![0; 32];
        host.random(&mut key);
        Self(Secret::new(key))
    }
    /// A random SPI of ours; the caller sees to it that it is not in use.
    pub(super) fn draw(&self, host: &mut dyn Host) -> IkeSpi {
        let mut spi = [0; 8];
        host.random(&mut spi[..4]);
        let tag = self.tag(&spi[..4]);
        spi[4..].copy_from_slice(&tag);
        IkeSpi(spi)
    }
    /// True for what `draw` may have returned.
    pub(super) fn is_ours(&self, spi: IkeSpi) -> bool {
        constant_time_eq(&self.tag(&spi.0[..4]), &spi.0[4..])
    }
    fn tag(&self, random: &[u8]) -> [u8; 4] {
        let mac = Prf::HmacSha256.mac(self.0.expose(), &[random]);
        std::array::from_fn(|i| mac.expose()[i])
    }
}
