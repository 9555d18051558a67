"""A client that proves its password and never sends it: MQTT 5 enhanced authentication with SCRAM-SHA-256, on a bare
socket and Python's own library, so that it can be read as the recipe (docs/authentication.md).

Usage: scram.py HOST:PORT USER PASSWORD, prints what became of it; with REAUTHENTICATE behind, the connection then proves
itself once more, as the user and with the password named there.
"""

import base64
import hashlib
import hmac
import secrets
import socket
import struct
import sys

METHOD = "SCRAM-SHA-256"
CONNACK, PINGREQ, PINGRESP, DISCONNECT, AUTH = 0x20, 0xC0, 0xD0, 0xE0, 0xF0
SUCCESS, CONTINUE, ANEW = 0x00, 0x18, 0x19
DATA = 0x16
# Properties the server may send that are not of two strings or four bytes: how many bytes each has.
FIXED = {0x11: 4, 0x13: 2, 0x21: 2, 0x22: 2, 0x24: 1, 0x25: 1, 0x27: 4, 0x28: 1, 0x29: 1, 0x2A: 1}


def field(data):
    data = data.encode() if isinstance(data, str) else data
    return struct.pack(">H", len(data)) + data


def variable(number):
    out = b""
    while True:
        number, byte = number >> 7, number & 0x7F
        out += bytes([byte | (0x80 if number else 0)])
        if not number:
            return out


def packet(first, body):
    return bytes([first]) + variable(len(body)) + body


def authentication(data):
    properties = b"\x15" + field(METHOD) + bytes([DATA]) + field(data)
    return variable(len(properties)) + properties


def auth(reason, data):
    return packet(AUTH, bytes([reason]) + authentication(data))


class Connection:
    def __init__(self, address):
        self.socket = socket.create_connection(address, timeout=30)
        self.file = self.socket.makefile("rb")

    def send(self, data):
        self.socket.sendall(data)

    def receive(self):
        """Type, reason code and authentication data of the next packet."""
        first = self.file.read(1)[0]
        length, shift = 0, 0
        while True:
            byte = self.file.read(1)[0]
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        body = self.file.read(length)
        if first == CONNACK:
            body = body[1:]
        reason = body[0] if body else 0
        return first, reason, self.data(body[1:])

    @staticmethod
    def data(properties):
        # All that this server sends stays below 128 bytes of properties, or says so in two bytes.
        at = 2 if properties and properties[0] >= 0x80 else 1
        found = None
        while at < len(properties):
            kind = properties[at]
            if kind in FIXED:
                at += 1 + FIXED[kind]
                continue
            size = struct.unpack(">H", properties[at + 1 : at + 3])[0]
            if kind == DATA:
                found = properties[at + 3 : at + 3 + size].decode()
            at += 3 + size
        return found


class Scram:
    """One exchange, RFC 5802 and RFC 7677."""

    def __init__(self, user, password):
        self.password = password.encode()
        self.nonce = secrets.token_urlsafe(18)
        self.bare = f"n={user},r={self.nonce}"

    def first(self):
        return "n,," + self.bare

    def final(self, server_first):
        fields = dict(part.split("=", 1) for part in server_first.split(","))
        assert fields["r"].startswith(self.nonce) and len(fields["r"]) > len(self.nonce)
        self.salt, self.iterations = fields["s"], int(fields["i"])
        assert self.iterations >= 4096
        # The password would be prepared with SASLprep here, which changes nothing about ASCII and composed Hangul.
        salted = hashlib.pbkdf2_hmac("sha256", self.password, base64.b64decode(self.salt), self.iterations)
        client_key = hmac.digest(salted, b"Client Key", "sha256")
        without_proof = "c=" + base64.b64encode(b"n,,").decode() + ",r=" + fields["r"]
        message = ",".join([self.bare, server_first, without_proof]).encode()
        signature = hmac.digest(hashlib.sha256(client_key).digest(), message, "sha256")
        proof = bytes(left ^ right for left, right in zip(client_key, signature))
        self.expected = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), message, "sha256")
        return without_proof + ",p=" + base64.b64encode(proof).decode()

    def is_the_server(self, server_final):
        return server_final == "v=" + base64.b64encode(self.expected).decode()


def main():
    address, user, password = sys.argv[1:4]
    host, port = address.split(":")
    connection, scram = Connection((host, int(port))), Scram(user, password)
    body = field("MQTT") + bytes([5, 2]) + struct.pack(">H", 60)
    connection.send(packet(0x10, body + authentication(scram.first()) + field("scram")))
    kind, reason, data = connection.receive()
    if (kind, reason) != (AUTH, CONTINUE):
        return print(f"refused {reason:02x}")
    connection.send(auth(CONTINUE, scram.final(data)))
    print(f"salt {scram.salt} iterations {scram.iterations}")
    kind, reason, data = connection.receive()
    assert kind == CONNACK
    if reason != SUCCESS:
        return print(f"refused {reason:02x}")
    print("connected to", "the server" if scram.is_the_server(data) else "somebody else")
    if len(sys.argv) > 4:
        again(connection, Scram(sys.argv[4], sys.argv[5]))
    connection.send(packet(DISCONNECT, b""))


def again(connection, scram):
    connection.send(auth(ANEW, scram.first()))
    # Everything else goes on meanwhile.
    connection.send(packet(PINGREQ, b""))
    answers = {}
    for _ in range(2):
        kind, reason, data = connection.receive()
        answers[kind] = (reason, data)
    assert PINGRESP in answers
    reason, data = answers[AUTH]
    assert reason == CONTINUE
    connection.send(auth(CONTINUE, scram.final(data)))
    kind, reason, data = connection.receive()
    if kind != AUTH:
        return print(f"disconnected {reason:02x}")
    assert reason == SUCCESS
    print("renewed with", "the server" if scram.is_the_server(data) else "somebody else")


main()
