"""Addresses: which of them are on the public internet, and so may be connected to for a stranger.

Refused is what reaches this machine, its network or the cloud's own services, and every form in which an
IPv6 address carries an IPv4 address: who wants the public web needs none of them. The tables are IANA's
registries of special-purpose addresses (RFC 6890 and its successors, as of 2026), and Python's own knowledge
counts besides.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address

_V4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",  # this network
            "10.0.0.0/8",  # private
            "100.64.0.0/10",  # shared by a provider's customers; 100.100.100.200 is Alibaba's metadata
            "127.0.0.0/8",  # loopback
            "168.63.129.16/32",  # Azure's own services, in the midst of public addresses
            "169.254.0.0/16",  # link-local; 169.254.169.254 is the metadata of most clouds
            "172.16.0.0/12",  # private
            "192.0.0.0/24",  # of protocols; 192.0.0.192 is Oracle's metadata
            "192.0.2.0/24",  # documentation
            "192.52.193.0/24",  # multicast tunnels
            "192.88.99.0/24",  # relays of 6to4
            "192.168.0.0/16",  # private
            "198.18.0.0/15",  # benchmarks
            "198.51.100.0/24",  # documentation
            "203.0.113.0/24",  # documentation
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, and broadcast
        ),
    )
)

_GLOBAL_V6 = IPv6Network("2000::/3")
"""All that is public in IPv6; fd00:ec2::254, AWS's metadata, and every loopback lie outside."""

_V6 = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # of protocols: Teredo, benchmarks, ORCHID
            "2001:db8::/32",  # documentation
            "2002::/16",  # 6to4, which carries an IPv4 address
            "2620:4f:8000::/48",  # AS112
            "3ffe::/16",  # 6bone, given back
            "3fff::/20",  # documentation
        ),
    )
)

_ISATAP = frozenset({0x00005EFE, 0x02005EFE})
"""The third quarter of an address that carries an IPv4 address in its last one (RFC 5214)."""


def is_public(address: Address) -> bool:
    """Whether an address is one of the public internet, and no disguise of another."""
    if isinstance(address, IPv4Address):
        return address.is_global and not any(address in network for network in _V4)
    if address.scope_id is not None or address not in _GLOBAL_V6:
        return False
    tunnelled = (int(address) >> 32) & 0xFFFFFFFF in _ISATAP
    return address.is_global and not tunnelled and not any(address in network for network in _V6)


def read(text: str) -> Address | None:
    """The address that a text is, in its one usual form; None for a name."""
    try:
        return ip_address(text)
    except ValueError:
        return None
