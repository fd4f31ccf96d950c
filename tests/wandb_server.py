"""A stand-in for the Weights & Biases server on the loopback interface, for the real client's sweeps, agents and runs.

It answers the few GraphQL questions that the client asks and keeps what it is sent:

    with Server() as server:
        subprocess.run(["wandb", "sweep", ...], env={**os.environ, **server.environment})
        server.runs       # name -> {"config", "history", "summary"}
"""

import json
import random
import re
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import yaml

from wandb_artifacts import Artifacts

ENTITY, PROJECT = "entity", "project"
USER = {
    "id": "user",
    "entity": ENTITY,
    "name": ENTITY,
    "username": ENTITY,
    "email": "nobody@localhost",
    "admin": False,
    "flags": "{}",
    "teams": {"edges": [{"node": {"name": ENTITY}}]},
    "apiKeys": {"edges": []},
}


def drawn(parameter, source):
    """A value of a sweep's parameter."""
    if "values" in parameter:
        return source.choice(parameter["values"])
    if "value" in parameter:
        return parameter["value"]
    return source.uniform(parameter["min"], parameter["max"])


class Handler(BaseHTTPRequestHandler):
    """One request."""

    def do_GET(self):
        self._answer({}, self.server.state.status)

    def do_PUT(self):
        content = self._content()
        self.server.state.uploads.append((self.path, len(content)))
        self._answer({})

    def do_POST(self):
        content = self._content()
        try:
            request = json.loads(content)
        except ValueError:
            request = {}
        state = self.server.state
        query = request.get("query", "")
        if state.failing in query:
            state.failed.append(query)
            if state.hangs:
                state.closed.wait()
            if state.status != 200:
                self._answer({"errors": [{"message": "no"}]}, state.status)
                return
        with state.lock:
            if "files" in request:
                state.keep_stream(self.path, request["files"])
            self._answer({"data": state.resolve(query, request.get("variables") or {})})

    def _content(self):
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _answer(self, answer, status=200):
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Nothing: the tests' output is theirs."""


class Server:
    """The server and what it knows.

    Args:
        most_runs: that a sweep's agents are given.
        status: of HTTP, for the questions that fail.
        hangs: whether these questions are not answered at all.
        failing: a word of theirs; empty for all of them.

    Attributes:
        runs: by id, each with its sweep, project, display name, config, history rows and summary.
        failed: the questions that failed or were not answered.
        uploads: (path, bytes) of every uploaded file.
        artifacts: by id; see `Artifacts.known`.
        environment: what points a client here.
    """

    def __init__(self, most_runs=2, status=200, hangs=False, failing=""):
        self.status, self.hangs, self.failing, self.closed = status, hangs, failing, threading.Event()
        self.runs, self.sweeps, self.uploads, self.most_runs = {}, {}, [], most_runs
        self.failed = []
        self.started, self.lock, self.source = 0, threading.Lock(), random.Random(0)
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.state = self
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self._artifacts = Artifacts(self.url, PROJECT, ENTITY)
        self.artifacts = self._artifacts.known
        self.environment = {"WANDB_BASE_URL": self.url, "WANDB_API_KEY": "0" * 40}

    def __enter__(self):
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.go_away()

    def go_away(self):
        """Stops answering; whoever asks finds nobody."""
        self.closed.set()
        self._http.shutdown()
        self._http.server_close()

    def keep_stream(self, path, files):
        run = self.runs.get(path.split("/")[-2])
        if run is None:
            return
        for line in files.get("wandb-history.jsonl", {"content": []})["content"]:
            run["history"].append(json.loads(line))
        for line in files.get("wandb-summary.json", {"content": []})["content"]:
            run["summary"] = json.loads(line)

    def resolve(self, query, variables):
        project = {"id": "p", "name": PROJECT, "entityName": ENTITY, "entity": {"name": ENTITY}}
        if "upsertSweep" in query:
            name = uuid.uuid4().hex[:8]
            self.sweeps[name] = variables["config"]
            sweep = {"id": name, "name": name, "project": project}
            return {"upsertSweep": {"sweep": sweep, "configValidationWarnings": []}}
        if "createAgent" in query:
            return {"createAgent": {"agent": {"id": variables["sweep"]}}}
        if "agentHeartbeat" in query:
            return {
                "agentHeartbeat": {"agent": {"id": variables["id"]}, "commands": json.dumps(self._orders(variables))}
            }
        if "RunResumeStatus" in query:
            return {"model": {**project, "bucket": self._resumed(variables, project)}}
        if "upsertBucket" in query:
            return {"upsertBucket": {"bucket": self._bucket(variables, project), "inserted": True}}
        if "createRunFiles" in query:
            files = [{"name": name, "uploadUrl": f"{self.url}/upload/{name}"} for name in variables["files"]]
            return {"createRunFiles": {"runID": variables["run"], "uploadHeaders": [], "files": files}}
        if "rtifact" in query and (answer := self._artifacts.answer(query, variables)) is not None:
            return answer
        if re.search(r"\bsweep\s*\(", query):
            return {"project": {**project, "sweep": self._sweep(variables)}}
        features = {"cliVersionInfo": {}, "latestLocalVersionInfo": None, "features": []}
        return {"viewer": USER, "project": project, "serverInfo": features, "entity": {"name": ENTITY}}

    def _orders(self, variables):
        busy = any(json.loads(variables.get("runState") or "{}").values())
        if busy or self.started >= self.most_runs:
            return []
        self.started += 1
        parameters = yaml.safe_load(next(iter(self.sweeps.values())))["parameters"]
        arguments = {name: {"value": drawn(parameter, self.source)} for name, parameter in parameters.items()}
        return [{"type": "run", "run_id": uuid.uuid4().hex[:8], "args": arguments, "program": ""}]

    def _resumed(self, variables, project):
        run = self.runs.get(variables["name"])
        if run is None:
            return None
        last = json.dumps([json.dumps(row) for row in run["history"][-1:]])
        held = {"historyLineCount": len(run["history"]), "historyTail": last}
        held["summaryMetrics"] = json.dumps(run["summary"])
        held["wandbConfig"] = json.dumps({"t": 1})
        held["config"] = json.dumps({key: {"value": value} for key, value in run["config"].items()})
        return {**self._bucket({"name": variables["name"]}, project), **held}

    def _bucket(self, variables, project):
        name = variables.get("name") or uuid.uuid4().hex[:8]
        run = self.runs.setdefault(name, {"sweep": None, "config": {}, "history": [], "summary": {}})
        run["sweep"] = variables.get("sweep") or run["sweep"]
        for key, variable in (("project", "project"), ("name", "displayName")):
            run[key] = run.get(key) or variables.get(variable)
        if variables.get("config"):
            run["config"] |= {key: item["value"] for key, item in json.loads(variables["config"]).items()}
        empty = dict.fromkeys(("config", "summaryMetrics", "wandbConfig"), "{}")
        tails = dict.fromkeys(("historyTail", "eventsTail", "tags"), "[]")
        counts = dict.fromkeys(("historyLineCount", "logLineCount", "eventsLineCount"), 0)
        rest = {"description": "", "group": None, "jobType": None, "stopped": False, "sweepName": run["sweep"]}
        named = {"id": name, "name": name, "displayName": name, "project": project}
        return {**empty, **tails, **counts, **rest, **named, "tags": []}

    def _sweep(self, variables):
        name = variables.get("sweep") or next(iter(self.sweeps))
        empty = dict.fromkeys(("controller", "scheduler", "heartbeatAt", "updatedAt", "bestLoss"))
        answer = {"id": name, "name": name, "method": "random", "state": "RUNNING", "description": ""}
        more = {"createdAt": "2020-01-01T00:00:00", "earlyStopJobRunning": False, "runs": {"edges": []}}
        return {**empty, **answer, **more, "config": self.sweeps[name]}
