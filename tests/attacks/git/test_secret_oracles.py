"""Search as an oracle: asking for pieces of a secret until one hits. Matches count on redacted text only."""

from __future__ import annotations

from git.workshop import Workshop, git, token


def test_pieces_of_a_secret_never_hit(world: Workshop):
    secret = token()
    world.write("conf.ini", f"[x]\napi_token = {secret}\n")
    world.commit(f"token {secret}")
    git(world.repo, "rm", "-q", "conf.ini")
    git(world.repo, "commit", "-qm", "gone")
    world.open()
    for size in (4, 8, 16, len(secret)):
        piece = secret[:size]
        for tool, arguments in (
            ("git_log", {"search": piece}),
            ("git_show", {"ref": "HEAD~1", "search": piece}),
            ("git_show", {"ref": "HEAD~1:conf.ini", "search": piece}),
        ):
            reply = world.call(tool, **arguments)
            assert reply.text.startswith("0 ") or reply.is_error, reply.text
            assert secret not in reply.text
    world.close()
