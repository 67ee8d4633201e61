# SPDX-License-Identifier: Apache-2.0
"""The threats, one row each, and which tests stand for them.

A: what networks, registries and mirrors send; B: what images hold; C: what users
and processes of this machine do.  test_hostile_rows.py counts the cases of each
row and fails where there is none, or fewer than the last number.  A test is
"file::function", or "file::prefix*".
"""
import http.server
import json
import ssl
import threading

NET, ANSWERS, IMAGE, LOCAL = ("test_hostile_network.py", "test_hostile_answers.py",
                              "test_hostile_image.py", "test_hostile_local.py")

ROWS = {
    "A1": ("foreign layers' urls are fetched", [
        f"{NET}::test_a1_*", "test_hostile.py::test_foreign_layer_urls",
        "test_bounds.py::test_led_away"], 6),
    "A2": ("a realm on another's host", [
        f"{NET}::test_a2_*", "test_bounds.py::test_realm_bounds",
        "test_bounds.py::test_realm_by_name", "test_auth.py::test_bad_realms",
        "test_push_hostile.py::test_realm_elsewhere"], 30),
    "A3": ("a credential of one is used at another", [
        f"{NET}::test_a3_*", "test_hostile.py::test_two_registries_one_realm",
        "test_hostile.py::test_password_only_to_the_token_server",
        "test_hostile.py::test_headers_of_the_user_go_to_the_registry_only"], 15),
    "A4": ("Authorization kept on a redirect", [
        f"{NET}::test_a4_*", "test_bounds.py::test_redirect_takes_nothing_along",
        "test_redirect.py::test_no_credentials_to_storage",
        "test_redirect.py::test_manifest_redirect", "test_redirect.py::test_loop",
        "test_push_hostile.py::test_redirect*"], 40),
    "A5": ("https becomes http", [
        f"{NET}::test_a5_*", "test_push_hostile.py::test_location_without_tls",
        "test_push_hostile.py::test_location_downgrade"], 5),
    "A6": ("redirects to other schemes", [
        f"{NET}::test_a6_*", "test_redirect.py::test_bad_targets"], 15),
    "A7": ("internal addresses, rebinding", [
        f"{NET}::test_a7_*", "test_bounds.py::test_redirect_bounds"], 12),
    "A8": ("an upload's Location on another host", [
        "test_push_hostile.py::test_location_elsewhere",
        "test_push_hostile.py::test_odd_location",
        "test_push_hostile.py::test_raw_header_lines"], 20),
    "A9": ("the next page elsewhere, or without end", [
        f"{NET}::test_a9_*", "test_faults.py::test_link_loop",
        "test_faults.py::test_link_to_another_host"], 6),
    "A10": ("names that become requests", [
        f"{NET}::test_a10_*", "test_hostile.py::test_header_lines_are_not_forged",
        "test_names.py::test_no_such_grammar",
        "test_push_badimages.py::test_no_names"], 40),
    "A11": ("odd challenges", [
        f"{NET}::test_a11_*", "test_bounds.py::test_challenge_soup",
        "test_auth.py::test_challenges"], 15),
    "A12": ("cookies", [
        f"{NET}::test_a12_*", "test_hostile.py::test_cookies_are_not_kept"], 2),
    "A13": ("lengths and headers that lie", [f"{ANSWERS}::test_a13_*"], 12),
    "A14": ("ranges that lie", [
        f"{ANSWERS}::test_a14_*", "test_faults.py::test_lies_for_good"], 20),
    "A15": ("content in another encoding", [f"{ANSWERS}::test_a15_*"], 5),
    "A16": ("documents that are not what was asked for", [
        f"{ANSWERS}::test_a16_*", "test_faults.py::test_digest_header",
        "test_verify.py::test_manifest_by_digest"], 8),
    "A17": ("documents that read two ways", [
        f"{ANSWERS}::test_a17_*", "test_faults.py::test_ambiguous",
        "test_faults.py::test_type_differs"], 12),
    "A18": ("digests that are none", [
        f"{ANSWERS}::test_a18_*", "test_names.py::test_no_such_grammar"], 14),
    "A19": ("giants", [
        f"{ANSWERS}::test_a19_*", "test_hostile.py::test_costly_json",
        "test_hostile.py::test_large_manifest_fits",
        "test_push_hostile.py::test_fallback_index"], 10),
    "A20": ("deep, wide and circular indexes", [
        f"{ANSWERS}::test_a20_*", "test_faults.py::test_deep_index",
        "test_push_badimages.py::test_wide"], 5),
    "A21": ("odd JSON", [
        f"{ANSWERS}::test_a21_*", "test_hostile.py::test_odd_json",
        "test_push_badimages.py::test_index"], 30),
    "A22": ("a tag that moves", ["test_moving.py::test_*"], 4),
    "A23": ("hostile mirrors", [
        f"{NET}::test_a23_*", "test_lying_mirrors.py::test_lying_mirror*",
        "test_mirrors.py::test_credentials_stay_at_the_origin"], 8),
    "A24": ("certificates that are no good", [
        f"{NET}::test_a24_*", "test_faults.py::test_unknown_authority"], 8),
    "A25": ("a network namespace's router", [f"{NET}::test_a25_*"], 1),

    "B1": ("names that lead out", [f"{IMAGE}::test_b1_*"], 25),
    "B2": ("symbolic links that lead out", [f"{IMAGE}::test_b2_*"], 1),
    "B3": ("the root is no directory", [f"{IMAGE}::test_b3_*"], 8),
    "B4": ("hard links to what must not be", [
        f"{IMAGE}::test_b4_*", "test_badlayers.py::test_links_*"], 10),
    "B5": ("whiteouts that trick", [
        f"{IMAGE}::test_b5_*", "test_rootfs.py::test_stack",
        "test_rootfs.py::test_random_stacks"], 20),
    "B6": ("set-uid, devices, capabilities", [
        f"{IMAGE}::test_b6_*", "test_rootfs.py::test_allow_other",
        "test_privileges.py::test_never_suid_or_dev"], 5),
    "B7": ("names with anything in them", [
        f"{IMAGE}::test_b7_*", "test_layers.py::test_component_too_long"], 5),
    "B8": ("bombs", [
        f"{IMAGE}::test_b8_*", "test_badlayers.py::test_bomb*",
        "test_badlayers.py::test_one_frame", "test_badlayers.py::test_caps*",
        "test_badlayers.py::test_window_too_large"], 7),
    "B9": ("numbers of tar", [
        f"{IMAGE}::test_b9_*", "test_badlayers.py::test_extreme_numbers",
        "test_badlayers.py::test_huge_sparse_file",
        "test_layers.py::test_damaged"], 15),
    "B10": ("archives that two programs read in two ways", [
        f"{IMAGE}::test_b10_*", "test_layers.py::test_case"], 20),
    "B11": ("damaged layers", [
        "test_badlayers.py::test_truncated", "test_badlayers.py::test_bit_flips",
        "test_badlayers.py::test_flipped_headers",
        "test_badlayers.py::test_odd_ends"], 10),
    "B12": ("tables of contents that lie", [
        "test_lazy_formats.py::test_lying_*",
        "test_lazy_formats.py::test_table_*",
        "test_lazy_formats.py::test_both_kinds_declared",
        "test_lazy_formats.py::test_malformed_annotations",
        "test_lazy_formats.py::test_footer_cut_off"], 10),
    "B13": ("bytes without a digest", [
        f"{IMAGE}::test_b13_*", "test_verify.py::test_flipped",
        "test_verify.py::test_strict_serves_no_unverified_byte",
        "test_lazy.py::test_digest_lie"], 10),
    "B14": ("sizes that lie", [
        f"{IMAGE}::test_b14_*", "test_verify.py::test_wrong_size_in_descriptor",
        "test_lazy.py::test_size_lie"], 10),
    "B15": ("extremes", [
        f"{IMAGE}::test_b15_*", "test_badlayers.py::test_deeper_than_any_path",
        "test_badlayers.py::test_names_growing",
        "test_badlayers.py::test_many_xattrs"], 5),

    "C1": ("others read through a daemon of root", [
        f"{LOCAL}::test_c1_*", "test_rootfs.py::test_without_allow_other",
        "test_rootfs.py::test_allow_other"], 4),
    "C2": ("what is cached is given to whom it is not for", [
        "test_access.py::test_no_leak_*", "test_access.py::test_leak_after_restart",
        "test_push_hostile.py::test_private_blob",
        "test_lazy.py::test_no_leak_across_repositories"], 5),
    "C3": ("the cache directory is attacked", [
        f"{LOCAL}::test_c3_*", "test_privileges.py::test_cache_*",
        "test_cache.py::test_cache_is_private",
        "test_cache.py::test_spoiled_blob_file"], 10),
    "C4": ("tricks with the mount point", [
        f"{LOCAL}::test_c4_*", "test_lifecycle.py::test_refusals"], 8),
    "C5": ("one user starves the others", [
        "test_contagion.py::test_dead_registry_is_not_contagious",
        "test_contagion.py::test_same_directory_goes_on"], 3),
    "C6": ("numbers of inodes", [
        f"{LOCAL}::test_c6_*", "test_rootfs.py::test_inodes_of_a_merge",
        "test_tree.py::test_inodes_do_not_depend_on_visits"], 3),
    "C7": ("nothing is left: files, memory, threads", [f"{LOCAL}::test_c7_*"], 1),
    "C8": ("credential helpers", [
        f"{LOCAL}::test_c8_*", "test_auth.py::test_bad_helpers",
        "test_privileges.py::test_credential_helper"], 20),
    "C9": ("who may write configuration and credentials", [f"{LOCAL}::test_c9_*"], 10),
    "C10": ("secrets in what is written, shown or left", [
        f"{LOCAL}::test_c10_*", "test_bounds.py::test_secrets_stay_where_they_belong",
        "test_bounds.py::test_no_trace", "test_privileges.py::test_no_core",
        "test_privileges.py::test_secrets_stay_inside",
        "test_redirect.py::test_urls_are_no_secret_spilled"], 6),
    "C11": ("a hostile database", [
        f"{LOCAL}::test_c11_*", "test_cache.py::test_damaged_database",
        "test_lazy.py::test_damaged_index"], 8),
    "C12": ("who gives orders to the daemon", [f"{LOCAL}::test_c12_*"], 5),
}


class Scripted:
    """A server that answers what a function says, and keeps what it was asked.

    answer(method, path, headers) -> (status, {header: value}, body)"""

    def __init__(self, answer, host="127.0.0.1", tls=None):
        # (method, path, headers and, as "", the address that was connected to)
        seen = self.seen = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = 1 << 16              # an answer is one packet

            def handle_one_request(self):
                try:
                    super().handle_one_request()
                except OSError:             # whoever asked is gone
                    self.close_connection = True

            def _any(self):
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                seen.append((self.command, self.path,
                             {k.lower(): v for k, v in self.headers.items()}))
                seen[-1][2][""] = self.connection.getsockname()[0]
                status, headers, body = answer(*seen[-1])
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _any

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def get_request(self):
                sock, place = super().get_request()
                sock.settimeout(20)
                if tls:                     # the handshake is the handler's
                    sock = tls.wrap_socket(sock, True, do_handshake_on_connect=False)
                return sock, place

            def handle_error(self, *_):
                pass                        # who refuses our certificate is right

        self.server = Server((host, 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,),
                         daemon=True).start()

    @property
    def address(self):
        return f"{self.server.server_address[0]}:{self.port}"

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


def tls_server(cert, key):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context


def as_json(status, value, **headers):
    """What Scripted's function may return."""
    return (status, {"Content-Type": "application/json", **headers},
            json.dumps(value).encode())
