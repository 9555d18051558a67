"""A chat client on Paho: logs in, sends, hears, asks, goes away, and comes back to the same session.

Prints a line for each step; crates/magpie/tests/clients.rs is the other side and reads them.
Usage: chat.py PORT USER PASSWORD PEER 3.1|3.1.1|5 1|2    (the last is the version of Paho's callbacks)
"""

import json
import queue
import sys
import warnings

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

PATIENCE_SECS = 30
PROTOCOLS = {"3.1": mqtt.MQTTv31, "3.1.1": mqtt.MQTTv311, "5": mqtt.MQTTv5}


class Chat:
    def __init__(self, port, user, password, protocol, callbacks):
        self.port = port
        self.is_v5 = protocol == mqtt.MQTTv5
        self.events = queue.Queue()
        versions = {1: mqtt.CallbackAPIVersion.VERSION1, 2: mqtt.CallbackAPIVersion.VERSION2}
        session = {} if self.is_v5 else {"clean_session": False}
        with warnings.catch_warnings():
            # Paho says that version 1 is deprecated; that it works is what is tested.
            warnings.simplefilter("ignore", DeprecationWarning)
            self.client = mqtt.Client(versions[callbacks], client_id="script", protocol=protocol, **session)
        self.client.username_pw_set(user, password)
        if callbacks == 1:
            # Version 1 hands over (client, userdata, flags, rc[, properties]) and (client, userdata, mid).
            self.client.on_connect = lambda c, u, flags, rc, *more: self.note("connected", rc, flags["session present"])
            self.client.on_subscribe = lambda c, u, mid, codes, *more: self.note("subscribed", [int_of(code) for code in codes])
            self.client.on_publish = lambda c, u, mid: self.note("published", mid)
            self.client.on_disconnect = lambda c, u, *more: self.note("disconnected")
        else:
            self.client.on_connect = lambda c, u, flags, rc, properties: self.note("connected", int_of(rc), flags.session_present)
            self.client.on_subscribe = lambda c, u, mid, codes, properties: self.note("subscribed", [int_of(code) for code in codes])
            self.client.on_publish = lambda c, u, mid, rc, properties: self.note("published", mid)
            self.client.on_disconnect = lambda c, u, flags, rc, properties: self.note("disconnected")
        self.client.on_message = lambda c, u, message: self.note("message", message.topic, json.loads(message.payload), message.properties)

    def note(self, *event):
        self.events.put(event)

    def wait(self, kind, wanted=lambda *event: True):
        """The next event of a kind; others before it are put back behind it."""
        later = []
        while True:
            event = self.events.get(timeout=PATIENCE_SECS)
            if event[0] == kind and wanted(*event[1:]):
                break
            later.append(event)
        for other in later:
            self.events.put(other)
        return event[1:]

    def connect(self):
        if self.is_v5:
            properties = Properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = 3600
            self.client.connect("127.0.0.1", self.port, clean_start=False, properties=properties)
        else:
            self.client.connect("127.0.0.1", self.port)
        self.client.loop_start()
        code, present = self.wait("connected")
        assert code == 0, f"refused: {code}"
        return bool(present)

    def disconnect(self):
        self.client.disconnect()
        self.wait("disconnected")
        self.client.loop_stop()

    def hear(self):
        topic, message, _ = self.wait("message", lambda topic, *rest: topic.startswith("im/in/"))
        return message

    def publish(self, topic, message, properties=None):
        mid = self.client.publish(topic, json.dumps(message), qos=1, properties=properties).mid
        self.wait("published", lambda published: published == mid)

    def ask(self, method, question):
        if self.is_v5:
            properties = Properties(PacketTypes.PUBLISH)
            properties.ResponseTopic = "im/answer/paho"
            properties.CorrelationData = b"seven"
            self.publish(f"im/ask/{method}", question, properties)
            _, answer, properties = self.wait("message", lambda topic, *rest: topic == "im/answer/paho")
            assert properties.CorrelationData == b"seven", properties
        else:
            self.publish(f"im/ask/{method}/7", question)
            _, answer, _ = self.wait("message", lambda topic, *rest: topic == "im/answer/7")
        return answer


def int_of(code):
    """MQTT 5 codes are objects, older ones numbers."""
    return code.value if hasattr(code, "value") else code


def say(*words):
    print(*words, flush=True)


def main():
    port, user, password, peer, protocol, callbacks = sys.argv[1:]
    chat = Chat(int(port), user, password, PROTOCOLS[protocol], int(callbacks))
    assert not chat.connect()
    chat.client.subscribe([("im/in/+", 1), ("im/ack/+", 1), ("im/answer/+", 1)])
    assert chat.wait("subscribed") == ([1, 1, 1],)
    say("ready")

    chat.publish(f"im/to/@{peer}", {"mid": "m1", "text": "hi from Paho"})
    _, ack, _ = chat.wait("message", lambda topic, *rest: topic == "im/ack/m1")
    assert ack["ok"] is True, ack
    say("sent", ack["seq"])
    say("heard", chat.hear()["text"])
    say("heard", chat.hear()["text"])
    say("answered", chat.ask("profile.get", {})["account"])

    chat.disconnect()
    say("away")
    sys.stdin.readline()
    say("back", "present" if chat.connect() else "unknown")
    say("heard", chat.hear()["text"])
    say("heard", chat.hear()["text"])
    chat.disconnect()
    say("done")


main()
