#!/usr/bin/env python3
"""Asks the simulated Feishu itself, without feishu-id: what a lookup takes there on this machine.

    direct.py BASE_URL APP_ID APP_SECRET RATE SECONDS

One connection, one person a call, evenly RATE times a second. Prints one line of JSON with the
latencies in milliseconds, as benches/load does. Loopback only.
"""

import http.client
import json
import socket
import sys
import time
import urllib.parse


def main(base, app_id, app_secret, rate, seconds):
    url = urllib.parse.urlparse(base)
    if url.hostname not in ("127.0.0.1", "localhost", "::1"):
        sys.exit("direct.py: only loopback addresses")
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=10)
    connection.connect()
    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def post(path, body, **headers):
        began = time.perf_counter()
        data = json.dumps(body)
        connection.request("POST", path, data, {"content-type": "application/json", **headers})
        answer = json.loads(connection.getresponse().read())
        if answer["code"] != 0:
            sys.exit(f"direct.py: code {answer['code']}")
        return answer, (time.perf_counter() - began) * 1000

    secret = {"app_id": app_id, "app_secret": app_secret}
    token, _ = post("/open-apis/auth/v3/tenant_access_token/internal", secret)
    bearer = "Bearer " + token["tenant_access_token"]
    took = []
    began = time.perf_counter()
    for n in range(int(float(rate) * float(seconds))):
        time.sleep(max(0, began + n / float(rate) - time.perf_counter()))
        asked = {"emails": [f"load-{2 * n}@globex.example"]}
        path = "/open-apis/contact/v3/users/batch_get_id?user_id_type=user_id"
        took.append(post(path, asked, authorization=bearer)[1])
    took.sort()
    share = lambda part: took[min(len(took) - 1, int(len(took) * part))]
    latency = {"p50": share(0.5), "p99": share(0.99), "max": took[-1]}
    print(json.dumps({"calls": len(took), "latency_ms": latency}))


main(*sys.argv[1:])
