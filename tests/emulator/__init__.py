# SPDX-License-Identifier: Apache-2.0
"""A container registry made for tests.

One engine (store, tags, uploads, tokens, storage host), a profile per kind of
registry, and fault rules that spoil chosen answers in chosen ways.
"""
