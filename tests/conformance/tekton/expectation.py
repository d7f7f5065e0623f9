"""What a run should have come to (examples.toml), compared with what `kiln run -o json` and `kiln logs` say."""

import hashlib
import re

LONGEST = 63  # of a Kubernetes name


def child_name(run, suffix):
    """The name of a child of a run, as Tekton makes it: cut and hashed where it would be too long."""
    if len(run) + len(suffix) <= LONGEST:
        return run + suffix
    room = LONGEST - 32 - len(suffix)
    if room > 0:
        return run[:room] + hashlib.md5(run.encode()).hexdigest() + suffix
    name = run[:LONGEST - 32] + hashlib.md5((run + suffix).encode()).hexdigest()
    return re.sub(r"[^a-z0-9]+$", "", name + suffix[:LONGEST - len(name)])


def child_names(run, task, count):
    if count == 1:
        return [child_name(run, f"-{task}")]
    names = []
    for i in range(count):
        name = child_name(run, f"-{task}-{i}")
        if not name.endswith(f"-{i}"):
            name = child_name(run, f"-{task}")[:LONGEST - len(f"-{count}")] + f"-{i}"
        names.append(name)
    return names


def children(expected):
    """Pipeline task → how many runs it has, in order."""
    return {task: int(count or 1) for task, _, count in (entry.partition(" x") for entry in expected["children"])}


def message(expected, run):
    if "message" in expected:
        return expected["message"].replace("{run}", run)
    if "children" not in expected:
        return "All Steps have completed executing"
    skipped = sum(len(tasks) for tasks in expected.get("skipped", {}).values())
    ignored, failed = len(expected.get("ignored", [])), len(expected.get("failed", []))
    aside = f" (Ignored: {ignored})" if ignored else ""
    return (f"Tasks Completed: {len(children(expected))} (Failed: {failed + ignored}{aside}, Cancelled 0), "
            f"Skipped: {skipped}")


def same(expected, found, place):
    """Differences; of a table, only the keys that are expected count."""
    if isinstance(expected, dict) and isinstance(found, dict):
        return [said for key, value in expected.items() for said in same(value, found.get(key), f"{place}.{key}")]
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        return [said for i, one in enumerate(expected) for said in same(one, found[i], f"{place}[{i}]")]
    if isinstance(expected, str) and expected.startswith("~") and isinstance(found, str):
        return [] if re.fullmatch(expected[1:], found) else [f"{place} is not {expected!r}: {found[:80]!r}"]
    return [] if expected == found else [f"{place} should be {expected!r}, is {found!r}"]


def lines_of(log):
    """`[task : step] text` of `kiln logs` → "task/step: text"."""
    lines = re.findall(r"^\[(\S+) : (\S+)\] (.*)$", log, re.MULTILINE)
    return {f"{task}/{step}: {text}" for task, step, text in lines} | {f"{step}: {text}" for _, step, text in lines}


def unresolved(status):
    """Tasks whose when expressions still name results or statuses, which were known when they were judged."""
    said = []
    for kind, key, variable in (("skippedTasks", "name", "$("), ("childReferences", "pipelineTaskName", ".results.")):
        for one in status.get(kind, []):
            texts = [text for when in one.get("whenExpressions", [])
                     for text in (when.get("input", ""), *when.get("values", []))]
            if any(variable in text for text in texts):
                said.append(f"{kind} {one[key]}: unresolved variables in whenExpressions")
    return said


def exit_code(reason):
    """Of `kiln run`, when a run ended with this reason."""
    return 0 if reason in ("Succeeded", "Completed") else 4 if "Timeout" in reason else 1


def invalid(run):
    """Why the object is no valid one of its kind, or not what the user's document says."""
    kind = "pipeline" if run["kind"] == "PipelineRun" else "task"
    said = []
    if sum(f"{kind}{what}" in run["spec"] for what in ("Ref", "Spec")) != 1:
        said.append(f"spec has not exactly one of {kind}Ref and {kind}Spec")
    if f"{kind}Spec" not in run["status"]:
        said.append(f"status has no {kind}Spec")
    return said


def skips(expected, status):
    """Skipped tasks: the order is that of the document, so expected and found are compared sorted."""
    wanted = sorted([task, why] for why, tasks in expected.get("skipped", {}).items() for task in tasks)
    return same(wanted, sorted([one["name"], one["reason"]] for one in status.get("skippedTasks", [])), "skippedTasks")


def differences(expected, run, log):
    """What differs in a finished run, in words."""
    status, name = run["status"], run["metadata"]["name"]
    condition = next(one for one in status["conditions"] if one["type"] == "Succeeded")
    said = same(expected["reason"], condition["reason"], "reason")
    said += same(message(expected, name), condition["message"], "message")
    if "children" in expected:
        wanted = [[task, child] for task, count in children(expected).items()
                  for child in child_names(name, task, count)]
        said += same(wanted, [[one["pipelineTaskName"], one["name"]] for one in status.get("childReferences", [])],
                     "childReferences")
        said += skips(expected, status) + unresolved(status)
    if "steps" in expected:
        steps = [f"{one['name']} {one.get('terminationReason')}" for one in status.get("steps", [])]
        said += same([step if " " in step else f"{step} Completed" for step in expected["steps"]], steps, "steps")
    results = {one["name"]: one["value"] for one in status.get("results", [])}
    if expected.get("results") != "any":
        said += same(sorted(expected.get("results", {})), sorted(results), "names of results")
        said += same(expected.get("results", {}), results, "results")
    said += same(expected.get("status", {}), status, "status")
    said += same(expected.get("metadata", {}), run["metadata"], "metadata")
    said += [f"status has {key}" for key in expected.get("absent", []) if key in status]
    there = lines_of(log)
    said += [f"no line {line!r}" for line in (one.replace("{run}", name) for one in expected.get("output", []))
             if line not in there]
    return said
