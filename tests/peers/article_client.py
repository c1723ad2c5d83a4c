"""The way a tutorial places a call: article_client.py BASE_URL API_KEY, where the base ends in /v1. Needs requests.

Sends one create without signature or idempotency key, checks the reply and prints its JSON as one line.
"""
import json
import sys

import requests


def main(base_url, api_key):
    session = requests.Session()
    session.headers.update({"Authorization": f"Bearer {api_key}", "Content-Type": "application/json"})
    body = {"to": "+8613800138000", "tts": "您好", "retry_policy": "flexible"}
    reply = session.post(f"{base_url}/calls", json=body, timeout=5)
    reply.raise_for_status()
    call = reply.json()
    wrong = [
        name
        for name, right in {
            "status": call.get("status") == "queued",
            "call_id": isinstance(call.get("call_id"), str) and call["call_id"] != "",
            "timestamps.created": isinstance(call.get("timestamps", {}).get("created"), str),
            "cost": call.get("cost") == 0.015,
        }.items()
        if not right
    ]
    if wrong:
        sys.exit(f"wrong: {', '.join(wrong)}")
    print(json.dumps(call, ensure_ascii=False))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
