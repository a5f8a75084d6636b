"""Models by their id, from a hub that is real enough: huggingface_hub talks to a small server on this machine.

Its addresses, headers and error codes are those of the hub; the client is pointed at it by HF_ENDPOINT, in a process of
its own, because it reads that once.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch

from llama_tutorial import LlamaForCausalLM, Tokenizer

pytestmark = pytest.mark.thorough
COMMIT = "0123456789abcdef0123456789abcdef01234567"
NOT_ASKED_FOR = {"pytorch_model.bin": b"a pickle", "original/consolidated.00.pth": b"a pickle", "README.md": b"words"}


class Hub(BaseHTTPRequestHandler):
    """The pages of a hub that a download needs. `models` maps an id to its files by name."""

    protocol_version = "HTTP/1.1"
    models: dict[str, dict[str, bytes]] = {}
    asked: list[tuple[str, str | None, str | None]] = []  # address, Range, Authorization
    broken: set[str] = set()  # ids whose largest file breaks off halfway, the first time
    dead: set[str] = set()  # ids whose files never come

    def log_message(self, *_):
        pass

    def answer(self, status, content=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def refuse(self, status, code):
        self.answer(status, b"{}", X_Error_Code=code, X_Error_Message=code)

    def do_GET(self):
        self.asked.append((self.path, self.headers["Range"], self.headers["Authorization"]))
        found = re.fullmatch(r"/api/models/(\w+/[\w.-]+)(?:/(revision|tree)/([\w.-]+))?(?:\?.*)?", self.path)
        if found:
            return self.tell_of(*found.groups())
        found = re.fullmatch(r"/(\w+/[\w.-]+)/resolve/([\w.-]+)/([\w./-]+)", self.path)
        return self.give(*found.groups()) if found else self.refuse(404, "EntryNotFound")

    do_HEAD = do_GET

    def tell_of(self, name, kind, revision):
        files = self.models.get(name)
        if files is None or name == "me/private" and self.headers["Authorization"] != "Bearer hf_secret":
            return self.refuse(401 if name == "me/private" else 404, "RepoNotFound")
        if revision not in (None, "main", "v1", COMMIT):
            return self.refuse(404, "RevisionNotFound")
        if kind == "tree":
            told = [{"type": "file", "path": path, "size": len(content), "oid": digest(content)}
                    for path, content in files.items()]  # fmt: skip
        else:
            told = {"id": name, "sha": COMMIT, "siblings": [{"rfilename": path} for path in files]}
        return self.answer(200, json.dumps(told).encode(), Content_Type="application/json")

    def give(self, name, revision, path):
        if name == "meta/gated":
            return self.refuse(403 if self.headers["Authorization"] else 401, "GatedRepo")
        content = self.models[name].get(path)
        if content is None:
            return self.refuse(404, "EntryNotFound")
        headers = {"ETag": f'"{digest(content)}"', "X_Repo_Commit": COMMIT, "Accept_Ranges": "bytes"}
        if name in self.dead and self.command == "GET":
            self.close_connection = True
            return None
        first = int(re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or "bytes=0-")[1])
        if first:
            headers["Content_Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
        if name in self.broken and len(content) > 5000 and self.command == "GET":
            self.broken.discard(name)
            self.send_response(200)
            for key, value in {**headers, "Content_Length": str(len(content))}.items():
                self.send_header(key.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(content[: len(content) // 2])
            self.close_connection = True
            return None
        return self.answer(206 if first else 200, content[first:], **headers)


def digest(content):
    return hashlib.sha1(content).hexdigest()


CHILD = """
import json, sys, torch
from huggingface_hub import constants
from llama_tutorial import LlamaForCausalLM, PublishedTokenizer
constants.DOWNLOAD_CHUNK_SIZE = 1000  # what has come is kept by the chunk, and our files are small
told = []
for name, revision in json.loads(sys.argv[1]):
    try:
        model = LlamaForCausalLM.from_pretrained(name, revision=revision)
        tokenizer = PublishedTokenizer.from_pretrained(name, revision=revision)
        ids = tokenizer.encode("text")
        told.append([tokenizer.template, tokenizer.tool_template] if tokenizer.template else None)
        told[-1] = told[-1] or model(torch.tensor([ids])).sum().item()
    except Exception as error:
        told.append(f"{type(error).__name__}: {error}")
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """`hub(*asked, **environment)` loads models in a process; what came: a number, or an error's words."""
    place = tmp_path_factory.mktemp("models")
    tokenizer = Tokenizer.train(["a text"], 260)
    torch.manual_seed(0)
    model = LlamaForCausalLM({"vocab_size": 260, "hidden_size": 16, "intermediate_size": 12, "num_hidden_layers": 2,
                              "num_attention_heads": 2})  # fmt: skip
    for kind, size in (("whole", "5GB"), ("shards", "4KB")):
        model.save_pretrained(place / kind, size)
        tokenizer.save(place / kind / "tokenizer.json")
        files = {path.name: path.read_bytes() for path in (place / kind).iterdir()}
        Hub.models[f"me/{kind}"] = files | NOT_ASKED_FOR
    whole = Hub.models["me/whole"]
    Hub.models |= {"me/private": whole, "meta/gated": whole, "me/broken": whole, "me/dead": whole}
    words = {name: content for name, content in whole.items() if "safetensors" not in name and name != "tokenizer.json"}
    Hub.models["me/pieces"] = words | {"tokenizer.model": b"pieces", "model.safetensors": whole["model.safetensors"]}
    Hub.models["me/pickles"] = words | {"pytorch_model.bin": b"a pickle", "tokenizer.json": whole["tokenizer.json"]}
    Hub.models["me/gguf"] = {"model.Q4_K_M.gguf": b"GGUF", "README.md": b"words"}
    Hub.models["me/adapter"] = {"adapter_config.json": b"{}", "adapter_model.safetensors": b"x"}
    Hub.models["me/chats"] = whole | {
        "chat_template.jinja": b"default", "additional_chat_templates/tool_use.jinja": b"tools",
        "additional_chat_templates/notes.json": b"{}", "onnx/config.json": b"{}", "onnx/model.safetensors": b"x",
        "tokenizer_config.json": b'{"fast_tokenizer_files": ["tokenizer.4.0.json"]}',
        "tokenizer.4.0.json": whole["tokenizer.json"], "tokenizer.json": b"{}",
    }  # fmt: skip
    Hub.models["me/mistral"] = whole | {"config.json": b'{"model_type": "mistral"}'}
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def load(*asked, home=place / "home", **environment):
        Hub.asked.clear()
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
        ours = {"HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_HOME": str(home)}
        pairs = [one if isinstance(one, list) else [one, None] for one in asked]
        words = [sys.executable, "-c", CHILD, json.dumps(pairs)]
        done = subprocess.run(words, env=clean | ours | environment, capture_output=True, text=True, timeout=300)
        assert done.stdout, done.stderr
        return json.loads(done.stdout)

    load.wanted = model(torch.tensor([tokenizer.encode("text")])).sum().item()
    yield load
    server.shutdown()


def test_a_model_comes_whole_and_in_shards_and_only_what_is_needed(hub):
    assert hub("me/whole", "me/shards", ["me/whole", "v1"]) == [hub.wanted] * 3
    fetched = {path.split("/")[-1] for path, *_ in Hub.asked if "/resolve/" in path}
    assert {"config.json", "model.safetensors", "model.safetensors.index.json", "tokenizer.json"} <= fetched
    assert not any(name.endswith((".bin", ".pth", ".md")) for name in fetched)
    assert all(token is None for *_, token in Hub.asked)
    assert hub("me/whole", "me/shards") == [hub.wanted] * 2
    assert not [path for path, *_ in Hub.asked if "/resolve/" in path]  # nothing is fetched twice
    told = hub("me/whole", "me/unknown", HF_HUB_OFFLINE="1")
    assert told[0] == hub.wanted and Hub.asked == []
    assert told[1].startswith("ConnectionError: me/unknown is not in the cache") and "HF_HUB_OFFLINE" in told[1]


def test_a_download_that_breaks_off_goes_on_where_it_was(hub):
    Hub.broken.add("me/broken")
    size = len(Hub.models["me/broken"]["model.safetensors"])
    assert hub("me/broken") == [hub.wanted]
    ranges = [asked for path, asked, _ in Hub.asked if path.endswith("model.safetensors") and asked]
    assert ranges == [f"bytes={size // 2 // 1000 * 1000}-"]


def test_what_is_gated_private_or_not_there_says_what_to_do(hub, tmp_path):
    asked = ["meta/gated", "me/private", "me/unknown", ["me/whole", "v9"], "me/mistral", "me/dead"]
    Hub.dead.add("me/dead")
    gated, private, unknown, revision, mistral, dead = hub(*asked, home=tmp_path)
    assert gated.startswith("PermissionError: meta/gated is gated: accept its terms at http://127.0.0.1")
    assert "hf auth login" in gated and "HF_TOKEN" in gated
    for told in (private, unknown):
        assert told.startswith("FileNotFoundError: there is no directory me/") and "hf auth login" in told
    assert revision == "FileNotFoundError: the hub has me/whole, but no revision 'v9': look at its branches and tags"
    assert mistral.startswith("ValueError: ") and "model_type must be 'llama', got 'mistral'" in mistral
    assert dead.startswith("ConnectionError: me/dead is not in the cache and could not be fetched")
    Hub.dead.clear()
    assert hub("me/dead", home=tmp_path) == [hub.wanted]  # the same call goes on


def test_a_token_opens_what_is_private_and_not_what_is_gated(hub, tmp_path):
    private, gated = hub("me/private", "meta/gated", home=tmp_path, HF_TOKEN="hf_secret")
    assert private == hub.wanted and "is gated" in gated
    assert {token for path, _, token in Hub.asked if "me/" in path or "meta/" in path} == {"Bearer hf_secret"}


def test_what_a_model_of_the_hub_is_instead_is_named(hub, tmp_path):
    pieces, pickles, gguf, adapter = hub("me/pieces", "me/pickles", "me/gguf", "me/adapter", home=tmp_path)
    assert pieces.startswith("FileNotFoundError: the hub has no tokenizer.json under me/pieces: only tokenizer.model")
    assert "AutoTokenizer" in pieces
    assert pickles.startswith("FileNotFoundError: the hub has no model.safetensors under me/pickles: only pickles")
    assert "under me/gguf: it holds a GGUF file" in gguf and "under me/adapter: it is a LoRA adapter" in adapter
    fetched = {path.split("/")[-1] for path, *_ in Hub.asked if "/resolve/" in path}
    assert not any(name.endswith((".bin", ".gguf", ".model")) for name in fetched)
    told = hub("me/pieces", "me/pickles", home=tmp_path, HF_HUB_OFFLINE="1")  # what is in the cache speaks for itself
    assert "no tokenizer.json in" in told[0] and "no model.safetensors" in told[1]


def test_chat_templates_come_with_their_folder_and_no_other_folder_comes(hub, tmp_path):
    assert hub("me/chats", home=tmp_path) == [["default", "tools"]]
    fetched = {path.split("/main/")[-1].split(f"/{COMMIT}/")[-1] for path, *_ in Hub.asked if "/resolve/" in path}
    assert "additional_chat_templates/tool_use.jinja" in fetched and "tokenizer.4.0.json" in fetched
    assert not [name for name in fetched if "/" in name and not name.endswith(".jinja")]
