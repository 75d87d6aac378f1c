"""The steps that upstream's suite takes with every kind: served, then all that can be done to its objects. For the programs of
the conformance behaviours."""
import json

from lib import equal, wait_for

MERGE = {"Content-Type": "application/merge-patch+json"}
ALL = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]


def ask(c, code, method, path, body=None, headers=None):
    status, o, _ = c.request(method, path, body, headers)
    equal(status, code, f"{method} {path} {json.dumps(o)}")
    return o


def served(c, group, version, resource, status):
    equal(group in [g["name"] for g in ask(c, 200, "GET", "/apis")["groups"]], True, group)
    equal(f"{group}/{version}" in [v["groupVersion"] for v in ask(c, 200, "GET", f"/apis/{group}")["versions"]], True, version)
    verbs = {r["name"]: sorted(r["verbs"]) for r in ask(c, 200, "GET", f"/apis/{group}/{version}")["resources"]}
    equal(verbs[resource], ALL)
    equal(verbs.get(resource + "/status"), ["get", "patch", "update"] if status else None)


def events_since(c, path, since, name):
    """What a watch says of it, up to its end."""
    connection, types = c.connect(), []
    try:
        connection.request("GET", f"{path}?watch=true&timeoutSeconds=20&labelSelector=set%3Dconformance&resourceVersion={since}")
        for line in connection.getresponse():
            event = json.loads(line)
            if event["object"]["metadata"]["name"] == name:
                types.append(event["type"])
                if types[-1] == "DELETED":
                    return types
    finally:
        connection.close()
    return types


def update(c, path, change):
    """Reads, changes and writes, again when a controller was first."""
    def written():
        o = ask(c, 200, "GET", path)
        change(o)
        status, o, _ = c.request("PUT", path, o)
        equal(status in (200, 409), True, f"PUT {path} {json.dumps(o)}")
        return o if status == 200 else None
    return wait_for("an update", written)


def annotate(key):
    def change(o):
        o["metadata"].setdefault("annotations", {})[key] = "true"
    return change


def annotated(o, *keys):
    equal([k for k in keys if o["metadata"]["annotations"].get(k) != "true"], [])


def operations(c, path, make, everywhere=None, status=None):
    """create, get, list, watch, patch, update, delete, deletecollection; status by patch and update."""
    select = "?labelSelector=set%3Dconformance"
    made = []
    for name in ("o1", "o2", "o3"):
        o = make(name)
        o["metadata"] = {"name": name, "labels": {"set": "conformance"}}
        made.append(ask(c, 201, "POST", path, o))
    at = path + "/o1"
    equal(ask(c, 200, "GET", at)["metadata"]["uid"], made[0]["metadata"]["uid"])
    listed = ask(c, 200, "GET", path + select)
    equal([o["metadata"]["name"] for o in listed["items"]], ["o1", "o2", "o3"])
    if everywhere:
        equal(len(ask(c, 200, "GET", everywhere + select)["items"]), 3)
    annotated(ask(c, 200, "PATCH", at, {"metadata": {"annotations": {"patched": "true"}}}, MERGE), "patched")
    annotated(update(c, at, annotate("updated")), "patched", "updated")
    changes = 2
    if status:
        o = ask(c, 200, "PATCH", at + "/status", {"metadata": {"annotations": {"patchedstatus": "true"}}, "status": status}, MERGE)
        equal((o["metadata"]["annotations"]["patchedstatus"], o["status"]), ("true", status))
        o = update(c, at + "/status", annotate("updatedstatus"))
        annotated(o, "patchedstatus", "updatedstatus")
        equal(o["status"], status)
        equal(ask(c, 200, "GET", at + "/status")["metadata"]["name"], "o1")
        changes += 2
    ask(c, 200, "DELETE", at)
    wait_for("it to go", lambda: c.request("GET", at)[0] == 404, 20)
    equal([o["metadata"]["name"] for o in ask(c, 200, "GET", path + select)["items"]], ["o2", "o3"])
    seen = events_since(c, path, listed["metadata"]["resourceVersion"], "o1")
    equal((len([t for t in seen if t == "MODIFIED"]) >= changes, seen[-1]), (True, "DELETED"))
    ask(c, 200, "DELETE", path + select)
    wait_for("all to go", lambda: ask(c, 200, "GET", path + select)["items"] == [], 30)
