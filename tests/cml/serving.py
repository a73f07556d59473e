"""What a deployment runs: the built file's function behind HTTP. `serving.py DIRECTORY FILE FUNCTION PORT`."""

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


def _handler(function):
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            try:
                answer = {"success": True, "response": function(request)}
            except Exception as error:
                answer = {"success": False, "errors": f"{type(error).__name__}: {error}"}
            data = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    return Handler


if __name__ == "__main__":
    directory, path, function, port = sys.argv[1:]
    sys.path[0] = ""
    scope = {"__name__": "__main__", "__builtins__": __builtins__}
    exec(compile(Path(path).read_text(), path, "exec"), scope)
    with ThreadingHTTPServer(("127.0.0.1", int(port)), _handler(scope[function])) as server:
        (Path(directory) / f".ready.{os.getpid()}").write_text("")
        (Path(directory) / f".ready.{os.getpid()}").replace(Path(directory) / "ready")
        server.serve_forever()
