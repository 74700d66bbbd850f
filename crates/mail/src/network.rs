//! Who counts as one client: addresses without the bits that a client chooses freely.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The leading bits of an IPv6 address that a site is given; the rest a host chooses as it likes.
pub const HOST_BITS_V6: u8 = 64;

/// The address that stands for the one client at `client`: an IPv4 address, or the first of an IPv6 /64.
pub fn host_of(client: IpAddr) -> IpAddr {
    network_of(client, (32, HOST_BITS_V6))
}

/// The first address of the network around `client`, whose prefix has so many bits of an IPv4 or an IPv6 address.
///
/// An IPv4 address that a dual-stack socket shows as `::ffff:192.0.2.1` counts as IPv4.
pub fn network_of(client: IpAddr, (v4_bits, v6_bits): (u8, u8)) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(v4_bits.min(32))).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & mask))
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(v6_bits.min(128))).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_behind_the_prefix_count_no_more() {
        for (client, bits, want) in [
            ("192.0.2.77", (24, 48), "192.0.2.0"),
            ("192.0.2.77", (32, 48), "192.0.2.77"),
            ("192.0.2.77", (0, 0), "0.0.0.0"),
            ("::ffff:192.0.2.77", (24, 48), "192.0.2.0"),
            ("2001:db8:1:2:3::4", (24, 48), "2001:db8:1::"),
            ("2001:db8:1:2:3::4", (24, 200), "2001:db8:1:2:3::4"),
            ("2001:db8:1:2:3::4", (0, 0), "::"),
        ] {
            let got = network_of(client.parse().unwrap(), bits);
            assert_eq!(got.to_string(), want, "{client} {bits:?}");
        }
        assert_eq!(host_of("2001:db8::ffff:2".parse().unwrap()).to_string(), "2001:db8::");
        assert_eq!(host_of("::ffff:192.0.2.1".parse().unwrap()).to_string(), "192.0.2.1");
    }
}
