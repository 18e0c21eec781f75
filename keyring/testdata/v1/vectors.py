#!/usr/bin/env python3
"""Makes the test vectors of tags, derived keys and fingerprints of masters from HMAC-SHA-256 alone, by the text of the package comment."""
import hashlib
import hmac
import json


def mac(key, text):
    return hmac.new(key, text, hashlib.sha256).digest()


def fields(*list_of_bytes):
    return b"".join(len(f).to_bytes(2, "big") + f for f in list_of_bytes)


def derive(master, part, uid, recipe, index):
    info = fields(b"station/root-key/v1", part.encode(), uid.encode(), recipe.encode(), index.to_bytes(4, "big"))
    return mac(master, info + b"\x01")  # RFC 5869, 2.3: the first block of 32 bytes is T(1)


def fingerprint(master):
    return mac(master, fields(b"station/master/v1") + b"\x01")[:8]


def tag(verifier, uid, escrow, secret):
    return mac(verifier, fields(b"station/tag/v1", uid.encode(), escrow.encode(), secret))


def tag_key(verifier, uid, escrow):
    return mac(verifier, fields(b"station/tag-key/v1", uid.encode(), escrow.encode()))


def identity(verifier, station):
    """The age identity: bech32 (BIP 173) of the scalar."""
    data, hrp = mac(verifier, fields(b"station/unlock-identity/v1", station.encode())), "age-secret-key-"
    number, size = int.from_bytes(data, "big") << 4, 8 * len(data) + 4
    values = [number >> shift & 31 for shift in range(size - 5, -1, -5)]

    def polymod(all):
        chk = 1
        for v in all:
            top, chk = chk >> 25, (chk & 0x1FFFFFF) << 5 ^ v
            for i, g in enumerate([0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3]):
                chk ^= g if top >> i & 1 else 0
        return chk

    check = polymod([ord(c) >> 5 for c in hrp] + [0] + [ord(c) & 31 for c in hrp] + values + [0] * 6) ^ 1
    values += [check >> 5 * (5 - i) & 31 for i in range(6)]
    return (hrp + "1" + "".join("qpzry9x8gf2tvdw0s3jn54khce6mua7l"[v] for v in values)).upper()


master, verifier = bytes(range(32)), bytes(range(32, 64))
uid = "0102030405060708090a0b0c0d0e"
keys = [("MT25QL128ABB", uid, "gateway-boot", 0), ("MT25QL128ABB", uid, "gateway-boot", 3),
        ("MT25QL128ABB", uid, "gateway-boo", 0), ("MT25QU128ABB", "ff" * 14, "gerät", 2**32 - 1)]
tags = [(uid, "0123456789abcdef", bytes(range(8))), (uid, "0123456789abcdee", bytes(range(8))),
        ("ff" * 14, "fedcba9876543210", b"\xff" * 32)]
print(json.dumps({
    "master": master.hex(), "fingerprint": fingerprint(master).hex(), "verifier": verifier.hex(),
    "keys": [{"part": p, "uid": u, "recipe": r, "index": i, "key": derive(master, p, u, r, i).hex()} for p, u, r, i in keys],
    "tags": [{"uid": u, "escrow": e, "secret": s.hex(), "tag": tag(verifier, u, e, s).hex()} for u, e, s in tags],
    "tagKeys": [{"uid": u, "escrow": e, "key": tag_key(verifier, u, e).hex()} for u, e, _ in tags],
    "identities": [{"station": s, "identity": identity(verifier, s)} for s in ("line1", "line-2")],
}, indent=1))
