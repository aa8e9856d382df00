"""Asks Feishu for IDs with the official Python SDK (lark-oapi): one of three programs, in three
languages, that `scripts/sdk-battery` holds against the simulated Feishu.

    battery.py resolve [--type user_id|open_id|union_id] [--include-resigned] IDENTIFIER...
    battery.py revoked --control URL IDENTIFIER...

`resolve` asks once. `revoked` asks, has the sandbox revoke the token, and asks again with the token
that the SDK still holds. An identifier with @ is an e-mail, any other a mobile.

FEISHU_BASE_URL, FEISHU_APP_ID and FEISHU_APP_SECRET come from the environment. One JSON object with
sorted keys goes to standard output: {"ok":true,"rows":[...]} or {"ok":false,"code":...,"msg":...}.
Exit code: 0 answered, 1 refused by Feishu, 2 anything else.
"""

import argparse
import json
import os
import sys
import urllib.request

import lark_oapi as lark
from lark_oapi.api.contact.v3 import BatchGetIdUserRequest, BatchGetIdUserRequestBody
from lark_oapi.core.exception import ObtainAccessTokenException

# Seconds for one HTTP request: loopback answers in milliseconds, and a hang should end the run.
TIMEOUT = 10


def main():
    args = arguments()
    client = (
        lark.Client.builder()
        .domain(os.environ["FEISHU_BASE_URL"])
        .app_id(os.environ["FEISHU_APP_ID"])
        .app_secret(os.environ["FEISHU_APP_SECRET"])
        .timeout(TIMEOUT)
        .log_level(lark.LogLevel.CRITICAL)
        .build()
    )
    answer = ask(client, args)
    if args.command == "revoked":
        if not answer["ok"]:
            sys.exit("the first call was refused, before anything was revoked")
        revoke(args.control)
        answer = ask(client, args)
    print(json.dumps(answer, sort_keys=True, separators=(",", ":"), ensure_ascii=False))
    return 0 if answer["ok"] else 1


def arguments():
    parser = argparse.ArgumentParser(description="asks Feishu for IDs with the official Python SDK")
    parser.add_argument("command", choices=["resolve", "revoked"])
    parser.add_argument("--type", default="user_id")
    parser.add_argument("--include-resigned", action="store_true")
    parser.add_argument("--control", help="the sandbox's control address, an http URL")
    parser.add_argument("identifiers", nargs="*")
    return parser.parse_intermixed_args()


def ask(client, args):
    emails = [i for i in args.identifiers if "@" in i]
    mobiles = [i for i in args.identifiers if "@" not in i]
    body = BatchGetIdUserRequestBody.builder().include_resigned(args.include_resigned)
    if emails:
        body = body.emails(emails)
    if mobiles:
        body = body.mobiles(mobiles)
    request = BatchGetIdUserRequest.builder().user_id_type(args.type).request_body(body.build()).build()
    try:
        response = client.contact.v3.user.batch_get_id(request)
    except ObtainAccessTokenException as error:
        return {"ok": False, "code": error.code, "msg": error.msg}
    if not response.success():
        return refusal(response)
    return {"ok": True, "rows": [row(info) for info in response.data.user_list or []]}


def row(info):
    fields = {"email": info.email, "mobile": info.mobile, "user_id": info.user_id}
    if info.status is not None:
        fields["status"] = {k: v for k, v in vars(info.status).items() if v is not None}
    return {k: v for k, v in fields.items() if v not in (None, "")}


def refusal(response):
    answer = {
        "ok": False,
        "code": response.code,
        "msg": response.msg,
        "http_status": response.raw.status_code,
        "log_id": response.get_log_id() or "",
    }
    # The SDK leaves this part of the body as plain dictionaries.
    error = response.error or {}
    if error.get("permission_violations"):
        answer["scopes"] = [violation["subject"] for violation in error["permission_violations"]]
    if error.get("field_violations"):
        answer["fields"] = [f"{v['field']}: {v['description']}" for v in error["field_violations"]]
    if error.get("helps"):
        answer["help_url"] = error["helps"][0]["url"]
    return answer


def revoke(control):
    request = urllib.request.Request(f"{control}/tokens/revoke", data=b"{}", method="POST")
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
        response.read()


if __name__ == "__main__":
    sys.exit(main())
