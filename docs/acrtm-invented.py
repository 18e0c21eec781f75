"""Test vectors of the invented command map, from HMAC and SHA-256 alone: python3 docs/acrtm-invented.py > docs/acrtm-invented.json"""
import hashlib, hmac, json

mac = lambda key, text: hmac.new(key, text, hashlib.sha256).digest()
u4 = lambda n: n.to_bytes(4, "big")
u8 = lambda n: n.to_bytes(8, "big")

factory = hashlib.sha256(b"station simulated factory key").digest()
uid = bytes(range(0x10, 0x1E))
power_on, counter = 7, 3
secret = mac(factory, uid)
session = mac(secret, u8(power_on))


def block(name, payload):
    text = name + len(payload).to_bytes(2, "big") + u8(counter) + payload
    return text + mac(session, text)


out = {"factory": factory.hex(), "uid": uid.hex(), "power_on": power_on, "counter": counter, "device_secret": secret.hex(), "session_key": session.hex(), "blocks": {}}
nonce = bytes(range(16))
content = b"\xA5" * 4096
address, size = 0x20000, len(content)
digest = hashlib.sha256(content).digest()
measure = block(b"\xF0\x01", u4(address) + u4(size) + nonce)
reply = u8(counter) + digest + mac(session, b"\xF0\x01" + nonce + u8(counter) + u4(address) + u4(size) + digest)
out["blocks"]["measure"] = {"address": address, "size": size, "content": "4096 bytes A5", "nonce": nonce.hex(), "block": measure.hex(), "reply": reply.hex()}


def changing(key, name, payload, **facts):
    b = block(name, payload)
    signature = mac(session, name + u8(counter + 1) + hashlib.sha256(b).digest())
    out["blocks"][key] = facts | {"block": b.hex(), "reply": (u8(counter + 1) + signature).hex()}


changing("write", b"\xF1\x00", u4(0x20100) + bytes(range(256)), address=0x20100, data="00 to FF")
changing("erase", b"\xF1\x01", u4(0x21000), address=0x21000)
changing("protect", b"\xF2\x00", u4(0x30000) + u4(0x10000), address=0x30000, size=0x10000)
print(json.dumps(out, indent=1))
