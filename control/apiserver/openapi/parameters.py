"""What the parameters of requests mean, told in the served schemas: generators make clients' documentation of it.

Invariant: a parameter means the same on every path, so that its name alone says how to describe it.
Source: the fields of ListOptions, CreateOptions, PatchOptions and DeleteOptions in the API reference.
"""

from __future__ import annotations

DESCRIPTIONS = {
    "allowWatchBookmarks": "Ask for events of type BOOKMARK, which tell how far a watch is. Ignored unless watching.",
    "continue": "The token of an earlier page: go on from there, with the same query otherwise. An expired one is "
    "answered by 410 and a token with which to go on inconsistently.",
    "dryRun": "Whether to only pretend. The one value is All: every stage runs, nothing is stored.",
    "fieldManager": "The name of who makes the change, noted in metadata.managedFields. Required for an apply.",
    "fieldSelector": "A selector to restrict the list of returned objects by their fields. Everything by default.",
    "fieldValidation": "What to do about unknown and duplicate fields: Ignore, Warn (the default) or Strict.",
    "force": "Take over fields that other managers hold. For apply patches only.",
    "gracePeriodSeconds": "Seconds that the object has to end. Zero deletes at once; by default each kind has its own.",
    "labelSelector": "A selector to restrict the list of returned objects by their labels. Everything by default.",
    "limit": "The most objects that a page may have. If there are more, the answer's metadata.continue leads on.",
    "name": "The object's name.",
    "namespace": "The namespace, by which teams and projects are kept apart.",
    "orphanDependents": "Deprecated: propagationPolicy says it. Whether dependents stay when the object goes.",
    "path": "The part of the URL that is passed on.",
    "pretty": "Whether to indent the answer; 'true' does.",
    "propagationPolicy": "What becomes of dependents: Orphan, Background or Foreground.",
    "resourceVersion": "The version that the answer may not be older than. Unset means the newest; 0 means any.",
    "resourceVersionMatch": "How resourceVersion is meant: NotOlderThan or Exact.",
    "sendInitialEvents": "Begin a watch with events of what there is, ended by a bookmark. Needs resourceVersionMatch.",
    "timeoutSeconds": "Seconds after which a list or watch ends, however busy it is.",
    "watch": "Watch for changes to the described resources and return them as a stream of events.",
}
