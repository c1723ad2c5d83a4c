"""A peer of the Claude-style JSON voice API in the standard library alone, written from docs/claude-voice-api.md.

claude_peer.py client BASE_URL API_KEY SECRET   drives a server; prints ok, or what was wrong and exits 1
claude_peer.py server API_KEY SECRET            serves on a free loopback port; prints its base_url as JSON, then one
                                                JSON line for each request whose key and signature it verified
"""
import hashlib, hmac, http.client, json, sys, time, urllib.parse, uuid
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def sign(secret, body):
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def client(base, key, secret):
    url = urllib.parse.urlsplit(base)
    root = url.path.rstrip("/").removesuffix("/v1") + "/v1/calls"
    kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    line = kind(url.hostname, url.port, timeout=5)

    def ask(method, path="", body=b"", signature=None, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        headers |= {"Authorization": "Bearer " + key, "X-Signature": signature or sign(secret, body)}
        if body:
            headers["Content-Type"] = "application/json"
        line.request(method, root + path, body or None, headers)
        reply = line.getresponse()
        answer = json.loads(reply.read(), parse_float=str)
        check(reply.getheader("request-id"), f"{method}: no request-id")
        return reply.status, answer, reply

    def check(right, problem):
        if not right:
            sys.exit(f"wrong: {problem}")

    number, name = "+1415" + str(uuid.uuid4().int)[:7], "peer-" + uuid.uuid4().hex
    body = json.dumps({"to": number, "tts": "您好", "tags": {"peer": "python"}}, ensure_ascii=False).encode()
    status, call, reply = ask("POST", "", body, Idempotency_Key=name)
    check(status == 201, f"create: {status}")
    check(call["status"] == "queued" and call["cost"] == "0.015", "create: status or cost")
    check(datetime.fromisoformat(call["timestamps"]["created"]).tzinfo, "create: timestamps.created")
    check(reply.getheader("Idempotent-Replayed") is None, "create: replayed at once")
    status, again, reply = ask("POST", "", body, Idempotency_Key=name)
    check((status, again) == (201, call), f"repeat: {status}, or another body")
    check(reply.getheader("Idempotent-Replayed") == "true", "repeat: no Idempotent-Replayed")
    status, error, _ = ask("POST", "", body + b" ", Idempotency_Key=name)
    check((status, error["error"]["type"]) == (409, "idempotency_conflict"), f"other body: {status}")
    status, error, _ = ask("POST", "", body, sign(secret + "x", body), Idempotency_Key=name)
    check((status, error["error"]["type"]) == (401, "authentication"), f"bad signature: {status}")
    path, calls = "/" + call["call_id"], [call["call_id"]]
    status, read, _ = ask("GET", path)
    check(status == 200 and read["to"] == number, f"read: {status}")
    check(read["tags"] == {"peer": "python"} and read["idempotency_key"] == name, "read: tags or key")
    status, page, _ = ask("GET", "?" + urllib.parse.urlencode({"idempotency_key": name}))
    check([c["call_id"] for c in page["data"]] == calls, f"look-up by key: {status}")
    for wait in (0, 1, 1, 0.5):  # a listing may lag by 2 s
        time.sleep(wait)
        status, page, _ = ask("GET", "?" + urllib.parse.urlencode({"to": number, "limit": 100}))
        if page.get("data"):
            break
    check([c["call_id"] for c in page["data"]] == calls, f"listing by number: {status}")
    check(page["has_more"] is False and page["last_id"] == calls[0], "listing: has_more or last_id")
    ends = [ask("DELETE", path)[:2] for _ in range(2)]
    check(ends[0][0] == 200 and ends[0][1]["status"] in ("canceled", "completed"), f"hang-up: {ends[0][0]}")
    check(ends[0] == ends[1], "hang-up: the repeat changed something")
    print("ok")


def server(key, secret):
    calls, used = {}, {}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def reply(self, status, answer, **headers):
            data = json.dumps(answer, ensure_ascii=False).encode()
            self.send_response(status)
            headers |= {"Content-Type": "application/json", "Content-Length": len(data), "request-id": uuid.uuid4().hex}
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), str(value))
            self.end_headers()
            self.wfile.write(data)

        def refuse(self, status, kind, message):
            self.reply(status, {"type": "error", "error": {"type": kind, "message": message}})

        def serve(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.headers.get_all("Authorization") != ["Bearer " + key]:
                return self.refuse(401, "authentication", "unknown API key")
            given = "".join(self.headers.get_all("X-Signature") or [])
            if not hmac.compare_digest(given.encode(), sign(secret, body).encode()):
                return self.refuse(401, "authentication", "X-Signature is missing or wrong")
            url = urllib.parse.urlsplit(self.path)
            query = dict(urllib.parse.parse_qsl(url.query))
            name = self.headers.get("Idempotency-Key")
            print(json.dumps({"method": self.command, "path": url.path, "bytes": len(body), "key": name}), flush=True)
            call = calls.get(url.path.removeprefix("/v1/calls/"))
            if self.command == "POST" and url.path == "/v1/calls":
                return self.create(body, name)
            if self.command == "GET" and url.path == "/v1/calls":
                found = [c for c in calls.values() if c["to"] == query.get("to", c["to"])
                         and c.get("idempotency_key") == query.get("idempotency_key", c.get("idempotency_key"))]
                last = found[-1]["call_id"] if found else None
                return self.reply(200, {"data": found, "has_more": False, "last_id": last})
            if call is None or self.command == "POST":
                return self.refuse(404, "not_found", "no such call")
            if self.command == "DELETE" and call["status"] == "queued":
                call |= {"status": "canceled", "cost": 0}
            self.reply(200, call)

        def create(self, body, name):
            if name in used:
                first, answer = used[name]
                if first != body:
                    return self.refuse(409, "idempotency_conflict", "this key was used with another body")
                return self.reply(201, answer, Idempotent_Replayed="true")
            asked = json.loads(body)
            stamp = datetime.now(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")
            call = {"call_id": "call_" + uuid.uuid4().hex, "status": "queued", "to": asked["to"],
                    "timestamps": {"created": stamp}, "cost": 0.015}
            call |= {"tags": asked["tags"]} if "tags" in asked else {}
            call |= {"idempotency_key": name} if name else {}
            calls[call["call_id"]] = call
            if name:
                used[name] = (body, dict(call))
            self.reply(201, call)

        do_POST = do_GET = do_DELETE = serve

    peer = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(json.dumps({"base_url": f"http://127.0.0.1:{peer.server_port}"}), flush=True)
    peer.serve_forever()


if __name__ == "__main__":
    if len(sys.argv) == 5 and sys.argv[1] == "client":
        client(*sys.argv[2:])
    elif len(sys.argv) == 4 and sys.argv[1] == "server":
        server(*sys.argv[2:])
    else:
        sys.exit(__doc__)
