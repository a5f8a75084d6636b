"""Chat templates are programs that strangers wrote: they run in a sandbox, in a process with limits."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping

SECONDS, MEGABYTES = 10, 512  # what a template may use; it needs a hundredth


def render(template: str, variables: Mapping) -> str:
    """What a Jinja template makes of variables (plain JSON), in a process of its own, within limits.

    Raises ValueError where it fails, refuses, reaches out of its sandbox or takes too much time or memory.
    Source: what transformers gives its chat templates, so that they render the same.
    """
    command = [sys.executable, "-c", "from llama_tutorial.published import template; template.answer()"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
    task = json.dumps({"template": template, "variables": dict(variables)})
    try:
        done = subprocess.run(command, input=task.encode(), capture_output=True, env=environment, timeout=3 * SECONDS)
        told = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, ValueError):
        told = f"took more than {SECONDS} seconds or {MEGABYTES} MB"
        raise ValueError(f"the chat template {told}: it was stopped") from None
    if "error" in told:
        raise ValueError(f"the chat template failed: {told['error']}")
    return told["text"]


def answer():
    """The other side of `render`: a task comes in, a text or an error goes out."""
    task = json.loads(sys.stdin.buffer.read())
    environment = sandbox()
    limit_this_process()
    try:
        text = environment.from_string(task["template"]).render(**task["variables"])
        told = {"text": text} if len(text) < 10_000_000 else {"error": f"it wrote {len(text):,} characters"}
    except MemoryError:
        told = {"error": f"it asked for more than {MEGABYTES} MB"}
    except Exception as error:
        told = {"error": f"{type(error).__name__}: {error}"[:500]}
    sys.stdout.write(json.dumps(told))


def sandbox():
    """Jinja as chat templates know it, without a way out and without a way to change what it was given."""
    from datetime import datetime

    from jinja2 import TemplateError, ext, nodes
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(ext.Extension):
        """{% generation %} marks what an assistant said; for rendering it is nothing."""

        tags = {"generation"}

        def parse(self, parser):
            line = next(parser.stream).lineno
            return nodes.Scope(parser.parse_statements(["name:endgeneration"], drop_needle=True)).set_lineno(line)

    def raise_exception(message):
        raise TemplateError(message)

    def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[ext.loopcontrols, Generation]
    )
    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return environment


def limit_this_process():
    """No more memory and time than a template can need, and no file; where the system has such limits."""
    try:
        import resource
    except ImportError:  # Windows has none: there the clock of `render` alone stops it
        return
    limits = {"RLIMIT_AS": MEGABYTES * 1_000_000, "RLIMIT_CPU": SECONDS, "RLIMIT_FSIZE": 0, "RLIMIT_CORE": 0}
    for kind, most in limits.items():
        resource.setrlimit(getattr(resource, kind), (most, most))
