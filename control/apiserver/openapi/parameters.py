"""What the parameters of requests mean, told in the served schemas: generators make clients' documentation of it.

Invariant: a parameter means the same on every path, so that its name alone says how to describe it.
Source: the fields of ListOptions, CreateOptions, PatchOptions and DeleteOptions in the API reference.
"""

from __future__ import annotations

LISTING = {
    "allowWatchBookmarks": "boolean",
    "continue": "string",
    "fieldSelector": "string",
    "labelSelector": "string",
    "limit": "integer",
    "resourceVersion": "string",
    "resourceVersionMatch": "string",
    "sendInitialEvents": "boolean",
    "timeoutSeconds": "integer",
    "watch": "boolean",
}
WRITING = {"dryRun": "string", "fieldManager": "string", "fieldValidation": "string"}
DELETING = {
    "dryRun": "string",
    "gracePeriodSeconds": "integer",
    "orphanDependents": "boolean",
    "propagationPolicy": "string",
}
LOGGING = {
    "container": "string",
    "follow": "boolean",
    "insecureSkipTLSVerifyBackend": "boolean",
    "limitBytes": "integer",
    "previous": "boolean",
    "sinceSeconds": "integer",
    "stream": "string",
    "tailLines": "integer",
    "timestamps": "boolean",
}
_STREAMS = {"container": "string", "stderr": "boolean", "stdin": "boolean", "stdout": "boolean", "tty": "boolean"}
CONNECTING = {
    "attach": _STREAMS,
    "exec": _STREAMS | {"command": "string"},
    "portforward": {"ports": "integer"},
    "proxy": {"path": "string"},
}
"""The parameters of the subresources that connect to something."""

DESCRIPTIONS = {
    "allowWatchBookmarks": "Ask for events of type BOOKMARK, which tell how far a watch is. Ignored unless watching.",
    "command": "The command and its arguments, once for each word. It is run without a shell.",
    "container": "The name of the container. May be left out if there is only one.",
    "continue": "The token of an earlier page: go on from there, with the same query otherwise. An expired one is "
    "answered by 410 and a token with which to go on inconsistently.",
    "dryRun": "Whether to only pretend. The one value is All: every stage runs, nothing is stored.",
    "fieldManager": "The name of who makes the change, noted in metadata.managedFields. Required for an apply.",
    "fieldSelector": "A selector to restrict the list of returned objects by their fields. Everything by default.",
    "fieldValidation": "What to do about unknown and duplicate fields: Ignore, Warn (the default) or Strict.",
    "follow": "Go on with what is written from now on.",
    "force": "Take over fields that other managers hold. For apply patches only.",
    "gracePeriodSeconds": "Seconds that the object has to end. Zero deletes at once; by default each kind has its own.",
    "insecureSkipTLSVerifyBackend": "Do not verify the certificate of the kubelet that has the log.",
    "labelSelector": "A selector to restrict the list of returned objects by their labels. Everything by default.",
    "limit": "The most objects that a page may have. If there are more, the answer's metadata.continue leads on.",
    "limitBytes": "The most bytes of the log to show. May cut the last line.",
    "name": "The object's name.",
    "namespace": "The namespace, by which teams and projects are kept apart.",
    "orphanDependents": "Deprecated: propagationPolicy says it. Whether dependents stay when the object goes.",
    "path": "The part of the URL that is passed on.",
    "ports": "The ports to forward.",
    "pretty": "Whether to indent the answer; 'true' does.",
    "previous": "Show the log of the container that ended before this one.",
    "propagationPolicy": "What becomes of dependents: Orphan, Background or Foreground.",
    "resourceVersion": "The version that the answer may not be older than. Unset means the newest; 0 means any.",
    "resourceVersionMatch": "How resourceVersion is meant: NotOlderThan or Exact.",
    "sendInitialEvents": "Begin a watch with events of what there is, ended by a bookmark. Needs resourceVersionMatch.",
    "sinceSeconds": "Show what was written in so many seconds.",
    "stderr": "Whether to connect to the standard error output.",
    "stdin": "Whether to connect to the standard input.",
    "stdout": "Whether to connect to the standard output.",
    "stream": "Which of the streams All (the default), Stdout and Stderr to show.",
    "tailLines": "How many lines to show, from the log's end.",
    "timeoutSeconds": "Seconds after which a list or watch ends, however busy it is.",
    "timestamps": "Begin each line with the time at which it was written.",
    "tty": "Whether there is a terminal on the other side.",
    "watch": "Watch for changes to the described resources and return them as a stream of events.",
}
