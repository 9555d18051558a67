"""A bot in a group: answers every message that begins with its name, once, whatever happens to the server meanwhile.

Usage: bot.py HOST:PORT USER PASSWORD GROUP
"""

import json
import sys

import paho.mqtt.client as mqtt

address, user, password, group = sys.argv[1:]
host, port = address.split(":")


def on_connect(client, userdata, flags, reason, properties):
    client.subscribe(f"im/in/{group}", qos=1)


def on_subscribe(client, userdata, mid, reasons, properties):
    print("ready", flush=True)


def on_message(client, userdata, packet):
    message = json.loads(packet.payload)
    print(message["seq"], f'{message["from"]}: {message["text"]}', flush=True)
    name, _, words = message["text"].partition(", ")
    if name == user:
        # The mid makes the same message of it, should this one be delivered again.
        answer = {"mid": f'answer-{message["seq"]}', "reply": message["seq"], "text": f"you said: {words}"}
        client.publish(f"im/to/{group}", json.dumps(answer), qos=1)


bot = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="bot", clean_session=False)
bot.username_pw_set(user, password)
bot.on_connect, bot.on_subscribe, bot.on_message = on_connect, on_subscribe, on_message
bot.reconnect_delay_set(min_delay=1, max_delay=2)
bot.connect(host, int(port))
bot.loop_forever()
