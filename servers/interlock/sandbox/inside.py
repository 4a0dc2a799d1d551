r"""The one process of ours inside a sandbox: takes a pipeline, starts its steps, waits, says how they ended.

It runs on a bare interpreter (no site, few modules), so it imports nothing but built-in modules. It decides
nothing and holds nothing: the walls around it are the engine's.

It says \x06 on stdout when it is ready. stdin: 8 hex digits (length of the head), the head, then the data of
the first step. The head is NUL-separated: nonce, seconds, processes (0: no limit of ours), number of steps,
then for each step its number of words and the words. stdout is the last step's, stderr is everybody's; when all
have ended, a line with the nonce closes both, on stderr with the exit codes. No step knows the nonce, so none
can say that it is over.
"""

import _signal  # type: ignore[import-not-found]  # signal itself would load half the library
import posix

TOOLS = "/usr/bin/"


def _read(count: int) -> bytes:
    data = b""
    while len(data) < count:
        chunk = posix.read(0, count - len(data))  # never a byte further: the rest is the first step's
        if not chunk:
            posix._exit(0)  # nobody wants this sandbox any more
        data += chunk
    return data


def _start(words: "list[str]", stdin: int, stdout: int, ours: "list[int]") -> int:
    environment = {"PATH": TOOLS, "HOME": "/tmp", "TMPDIR": "/tmp", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
    moves = [(posix.POSIX_SPAWN_DUP2, stdin, 0), (posix.POSIX_SPAWN_DUP2, stdout, 1)]
    closes = [(posix.POSIX_SPAWN_CLOSE, number) for number in ours]
    try:
        return posix.posix_spawn(
            TOOLS + words[0],
            words,
            environment,
            file_actions=moves + closes,
            setsigdef=[_signal.SIGPIPE, _signal.SIGALRM, _signal.SIGXFSZ],
        )
    except OSError as error:
        posix.write(2, f"{words[0]}: {error.strerror}\n".encode())
        return 0


def main() -> None:
    posix.write(1, b"\x06")
    head = _read(int(_read(8), 16)).decode("utf-8", "surrogateescape").split("\0")
    nonce, seconds, processes, count = head[0], int(head[1]), int(head[2]), int(head[3])
    # As process 1 of a container only a handler of our own makes the alarm count.
    _signal.signal(_signal.SIGALRM, lambda *_: posix._exit(124))
    _signal.alarm(seconds)
    if processes:
        import resource

        resource.setrlimit(resource.RLIMIT_NPROC, (processes, processes))
    at, pids, codes, source = 4, [], {}, 0
    for number in range(count):
        words = head[at + 1 : at + 1 + int(head[at])]
        at += 1 + int(head[at])
        following, out = posix.pipe() if number + 1 < count else (-1, 1)
        ours = [fd for fd in (source, out, following) if fd > 2]
        pids.append(_start(words, source, out, ours))
        for descriptor in (source, out):
            if descriptor > 2:
                posix.close(descriptor)
        source = following
    null = posix.open("/dev/null", posix.O_RDONLY)
    posix.dup2(null, 0)  # the first step alone reads on: when it ends, whoever feeds it shall notice
    for pid in pids:
        if pid:
            while pid not in codes:
                ended, status = posix.waitpid(-1, 0)  # as process 1 also those that steps left behind
                codes[ended] = posix.waitstatus_to_exitcode(status)
    told = " ".join(str(codes[pid] if pid else 127) for pid in pids)
    posix.write(1, f"\n{nonce}\n".encode())
    posix.write(2, f"\n{nonce} {told}\n".encode())
    posix._exit(0)


if __name__ == "__main__":
    main()
