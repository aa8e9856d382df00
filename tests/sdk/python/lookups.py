"""Makes many lookups of one person each with the official Python SDK, by several workers at a time:
one of three programs, in three languages, that `scripts/bench sdks` compares.

    lookups.py [--workers N] FILE

FILE has one e-mail or mobile a line, and each line is a lookup: one call with one person, not tried
again if it fails. All workers share one client, as the SDK's documents show it.

FEISHU_BASE_URL, FEISHU_APP_ID and FEISHU_APP_SECRET come from the environment. One JSON object goes
to standard output: what was answered, what failed with which code, calls made, and seconds.
"""

import argparse
import collections
import concurrent.futures
import json
import os
import time

import lark_oapi as lark
from lark_oapi.api.contact.v3 import BatchGetIdUserRequest, BatchGetIdUserRequestBody
from lark_oapi.core.exception import ObtainAccessTokenException

# Seconds for one HTTP request: loopback answers in milliseconds, and a hang should end the run.
TIMEOUT = 10


def main():
    parser = argparse.ArgumentParser(description="many lookups with the official Python SDK")
    parser.add_argument("--workers", type=int, default=32)
    parser.add_argument("file")
    args = parser.parse_args()
    with open(args.file) as file:
        people = file.read().split()
    client = (
        lark.Client.builder()
        .domain(os.environ["FEISHU_BASE_URL"])
        .app_id(os.environ["FEISHU_APP_ID"])
        .app_secret(os.environ["FEISHU_APP_SECRET"])
        .timeout(TIMEOUT)
        .log_level(lark.LogLevel.CRITICAL)
        .build()
    )
    began = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(args.workers) as pool:
        codes = collections.Counter(pool.map(lambda person: ask(client, person), people))
    seconds = time.monotonic() - began
    answered = codes.pop("", 0)
    failed = sum(codes.values())
    sums = {"answered": answered, "failed": failed, "calls": len(people), "codes": codes, "seconds": seconds}
    print(json.dumps(sums))


def ask(client, person):
    """With which code the call failed; nothing if it did not."""
    body = BatchGetIdUserRequestBody.builder()
    body = body.emails([person]) if "@" in person else body.mobiles([person])
    request = BatchGetIdUserRequest.builder().user_id_type("user_id").request_body(body.build()).build()
    try:
        response = client.contact.v3.user.batch_get_id(request)
    except ObtainAccessTokenException as error:
        return str(error.code)
    # The SDK lets its HTTP client's errors through.
    except Exception:
        return "other"
    if not response.success():
        return str(response.code)
    rows = response.data.user_list or []
    return "" if len(rows) == 1 and rows[0].user_id else "nobody"


if __name__ == "__main__":
    main()
