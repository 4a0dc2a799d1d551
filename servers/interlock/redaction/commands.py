"""Secrets on command lines, and what a command that prints one printed. Confirms the anchors `command` and `printed`."""
# ruff: noqa: E501

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from .keyed import bare_end, quoted_end
from .values import is_reference, looks_random

if TYPE_CHECKING:
    from .page import Page

_GAP: Final = r"(?:\.exe)?[\"']?(?:[ \t,][^\n|;]{0,240})?"
_FLAG: Final = r"[\s\"',\[(]"
_THEN: Final = r"[\"']?,?[ \t=]{1,3}\\?[\"']?[^\s\"'\\-]"  # the flag's value in a word of its own

# Each ends one byte into the value.
COMMANDS: Final = (
    rf"\b(?:mysql|mariadb)\w{{0,10}}(?:-\w{{1,8}})?{_GAP}{_FLAG}-p[^\s\"'=,\\-]",
    rf"\b(?:7z[ar]?|rar|unrar){_GAP}{_FLAG}-p[^\s\"'=,\\-]",
    r"\bsshpass[ \t\"',]{1,4}-p[\"']?,?[ \t=]{0,3}\\?[\"']?[^\s\"'\\-]",
    rf"\b(?:mongo(?:sh|dump|restore|export|import|stat|top)?|(?:docker|podman|nerdctl|skopeo|buildah|crane|oras|helm|az|oc)[^\n|;]{{0,80}}[ \t]login|influx|cqlsh|beeline|impala-shell|expect|arangosh|neo4j|cypher-shell|cbq|trino|gsql|tsh|argocd|rancher|vsql|ldapmodify|dbeaver|flyway|ssh-keygen|nats|jfrog|jf|cf|ibmcloud|faas-cli|http-prompt|mc|wp){_GAP}{_FLAG}-p{_THEN}",
    rf"\b(?:sqlcmd|bcp|isql|osql|mosquitto_(?:pub|sub|rr)|ipmitool|zip|unzip|ssh-keygen|openstack|nats|hydra|vncviewer|exiqgrep|mssql-cli|kcat|kinit|wbemtest|iscsiadm){_GAP}{_FLAG}-[PN]{_THEN}",
    rf"\b(?:redis-cli|valkey-cli|keydb-cli){_GAP}{_FLAG}(?:-a|--pass){_THEN}",
    rf"\b(?:ldap\w{{3,10}}|kadmin|pdbedit|psexec){_GAP}{_FLAG}-w{_THEN}",
    rf"\bsnmp\w{{3,10}}{_GAP}{_FLAG}-[cAX]{_THEN}",
    rf"\b(?:keytool|jarsigner|apksigner|signtool){_GAP}{_FLAG}[-/](?:storepass|keypass|srcstorepass|deststorepass|new|p){_THEN}",
    rf"\b(?:plink|pscp|psftp|winscp){_GAP}{_FLAG}-pw{_THEN}",
    rf"\b(?:gpg2?|duplicity|restic|borg|age){_GAP}{_FLAG}--passphrase{_THEN}",
    rf"\b(?:openssl|step){_GAP}(?:pass|-k|-K)[:\t ][\"']?[^\s\"'-]",
    rf"\b(?:curl|wget|https?|xh|httpie|lftp|ab|hey|wrk|siege|svn){_GAP}{_FLAG}(?:-u|-U|--user|--proxy-user|-a|--auth|-A)[\"']?,?[ \t=]{{0,3}}\\?[\"']?[\w.@+%-]{{0,64}}[:,][^\s\"'\\:]",
    rf"\b(?:smbclient|rpcclient|net|smbmap|wmic|crackmapexec|mount\.cifs){_GAP}[\w.\\/-]{{1,40}}%[^\s\"'\\]",
    rf"\bsqlplus{_GAP}[\w$]{{1,30}}/[^\s\"'@/]",
    r"\bhtpasswd[ \t]{1,3}-\w{0,4}b\w{0,4}[ \t]{1,3}\S{1,80}[ \t]{1,3}\S{1,60}[ \t]{1,3}[\"']?[^\s\"'-]",
    r"\brabbitmqctl[ \t]{1,3}(?:add_user|change_password|authenticate_user)[ \t]{1,3}\S{1,60}[ \t]{1,3}[\"']?[^\s\"'-]",
    r"\bwpa_passphrase[ \t]{1,3}(?:\"[^\"]{1,40}\"|\S{1,40})[ \t]{1,3}[\"']?[^\s\"'-]",
    r"\bnet[ \t]{1,3}user[ \t]{1,3}\S{1,40}[ \t]{1,3}[\"']?[^\s\"'/*-]",
    r"\b(?:cmdkey|xfreerdp|wfreerdp|runas|schtasks|sc)\b[^\n]{0,200}[ \t]/(?:pass:|p:|rp[ \t]|password[:= ])[\"']?[^\s\"'/]",
    r"--from-literal[= ][\"']?[\w.-]{1,80}=[\"']?[^\s\"'$]",
    r"\baws[ \t]{1,3}configure[ \t]{1,3}set[ \t]{1,3}[\w.-]{0,60}(?:secret|token)[\w.-]{0,30}[ \t]{1,3}[\"']?[^\s\"'-]",
    r"\bvault[ \t]{1,3}(?:login|unwrap|operator[ \t]{1,3}unseal)[ \t]{1,3}[\"']?[^\s\"'-]",
    r"\bvault[ \t]{1,3}(?:kv[ \t]{1,3}put|kv[ \t]{1,3}patch|write)[ \t][^\n]{0,200}[ \t][\w.-]{1,60}=[\"']?[^\s\"'@$-]",
    r"\b(?:consul|etcdctl)[ \t][^\n]{0,80}\b(?:put)[ \t]{1,3}[\w./-]{0,80}(?:secret|token|passw|key)[\w./-]{0,40}[ \t]{1,3}[\"']?[^\s\"'-]",
    r"\becho[ \t]{1,3}(?:-n[ \t]{1,3})?[\"']?[^\s\"'|$`\\]",
    r"<<<[ \t]?[\"']?[^\s\"'|$`\\]",
    r"(?-i:\bAUTH)[ \t]{1,3}(?:\"?default\"?[ \t]{1,3})?\"?[^\s\"]",
    r"\bsnmp-server[ \t]{1,3}community[ \t]{1,3}[\"']?[^\s\"']",
    r"\b(?:rocommunity6?|rwcommunity6?|community)[ \t]{1,3}(?!string)[\"']?[^\s\"'=:]".replace("(?!string)", ""),
    r"\b(?:secret|password|passwd|key-string|key|md5|wpa-psk ascii|psk|authentication-key|pre-shared-key|auth-password)[ \t]{1,3}(?:[0-9]|level \d+ \d|encrypted|ascii-text|plain-text|hexadecimal|clear|sha256|sha512)[ \t]{1,3}\"?[^\s\"]",
    r"\blogin[ \t]{1,3}\S{1,80}\s{1,8}password[ \t]{1,3}[^\s]",
    r"(?:^|\n)[ \t+-]{0,20}(?:password|passwd|account)[ \t]{1,3}[^\s=:]",
    r"\b(?:requirepass|masterauth|ldap_bind_pw|bindpw|rootpw|auth-user-pass)[ \t]{1,8}[\"']?[^\s\"'=:]",
    r"\buser[ \t]{1,3}\w{1,30}[ \t]{1,3}[^\n]{0,60}[ \t>]>[^\s]",
)
_PIPED: Final = re.compile(
    rb"[\"']?[ \t]*\|[ \t]*(?:sudo[ \t]+)?(?:-S|sudo[ \t]+-S|\S*chpasswd|passwd[ \t]+--stdin|smbpasswd|(?:docker|podman|helm|crane|oras|nerdctl|buildah|skopeo|gh|glab|az|oc|argocd|npm|vault|kinit|cryptsetup|gpg|openssl)\b[^\n|]{0,200})"
)
_NOT_A_VALUE: Final = re.compile(rb"(?:-|/dev/|/run/|/etc/|/proc/|\$|%|<|@|\{|\(|`|stdin|true$|false$|none$|null$)")
_PORTS: Final = re.compile(rb"[\d.:\[\]*-]+(?:/tcp|/udp)?")
_WHAT: Final = re.compile(rb"(?i)(\w[\w.-]*)[^\w]*$")


def command(page: Page, end: int) -> None:
    """The value of a flag or argument that takes a secret."""
    data = page.data
    start = end - 1
    head = data[max(0, start - 120) : start]
    lead = head.lower()
    quote = head[-1] if head else 0
    if quote in (34, 39):
        finish, closed = quoted_end(data, start, head, quote)
    else:
        finish, closed = bare_end(page, start), True
    value = data[start:finish]
    if b"sqlplus" in lead or b"curl" in lead or b"http" in lead:
        value = value.split(b"@//")[0] if b"sqlplus" not in lead else value.split(b"@")[0]
    elif value.startswith(b"pass:"):
        start, value = start + 5, value[5:]
    value = value.rstrip(b",;)]}\"'")
    echo = re.search(rb"(?:echo[ \t]+(?:-n[ \t]+)?|<<<[ \t]?)[\"']?$", lead)
    if echo:
        rest = data[start + len(value) : start + len(value) + 260].split(b"\n")[0]
        before = data[max(0, start - 200) : start].rpartition(b"\n")[2]
        fed = re.search(
            rb"--password-stdin|--stdin|--with-token|-pass(?:in|out)? stdin|sudo -S|chpasswd|passwd|login", before
        )
        if lead.rstrip(b"\"' ").endswith(b"<<<"):
            if not fed:
                return
        elif not (piped := _PIPED.match(rest)) or not re.search(
            rb"-S|passw|stdin|login|token|secret|auth|kinit|crypt|-k\b", piped.group()
        ):
            return
        if b"chpasswd" in rest:
            user, colon, value = value.partition(b":")
            start += len(user) + len(colon)
    word = _word_before(head)
    prose = re.search(rb"(?i)(?:^|\n)[ \t+-]*(?:password|passwd|account)[ \t]+$|\bcommunity[ \t]+$", head)
    if prose:
        line_end = data.find(b"\n", start, start + 300)
        rest = data[start + len(value) : line_end if line_end >= 0 else start + 300].strip()
        if b" " in rest or (rest and word != b"community") or (value.isalpha() and value.lower() in _PLAIN):
            return
    if re.search(rb"(?-i:\bAUTH)[ \t]", head[-24:]) and not re.search(
        rb"(?i)redis|>[ \t]*AUTH|\"AUTH\"|^\s*AUTH", head
    ):
        return
    if _PORTS.fullmatch(value) and re.search(rb"-[pP][\"']?[,= \t]*[\"']?$", head):
        return
    if len(value) < 3 or _NOT_A_VALUE.match(value) or is_reference(value):
        return
    page.add(start, start + len(value), "password", closed)


_PLAIN: Final = frozenset(
    b"for is was has reset required expired changed must cannot not and or string strings name names login host user requisite sufficient optional include password root system".split()
)


def _word_before(head: bytes) -> bytes:
    match = _WHAT.search(head[-60:])
    return match.group(1).lower() if match else b""


# Commands that print a secret: those that name one, and those that need not.
PRINTED_NEAR: Final = (
    r"get secrets?[ /]|pass show |keyvault secret show|secrets versions access|create token |print token"
    r"|\b(?:cat|head|less|base64) [\w/.-]{0,40}(?:secret|token|passw)|\b(?:echo|printenv|print) [\"']?\$?\{?\w{0,40}(?:PASS|SECRET|TOKEN|_KEY|APIKEY|PWD|passw|secret|token)"
    r"|(?:gh|glab|heroku|supabase|firebase|railway|vercel) auth[ :]token\b"
    r"|print-(?:access|identity|refresh)-token|get-access-token|kubeadm token|secretsmanager get-secret-value|get-login-password|--show-token"
)
PRINTED: Final = (
    r"\bvault[ \t]{1,3}(?:kv[ \t]{1,3}get|read)[ \t][^\n]{0,40}-field|\bssm[ \t]{1,3}get-parameter"
    r"|\bop[ \t]{1,3}read[ \t]|\bwhoami[ \t]{1,3}-t\b|\bopenssl[ \t]{1,3}rand[ \t]|\bpwgen[ \t]"
)


def printed(page: Page, end: int) -> None:
    """A line that is one word, under a command that prints a secret."""
    data = page.data
    if end <= page.printed:
        return
    start = data.find(b"\n", end, end + 400) + 1
    if not start or data[start : start + 1] in (b"", b" ", b"\t", b"\r", b"\n"):
        return
    page.printed = start
    stop = data.find(b"\n", start, start + 4096)
    value = data[start : stop if stop >= 0 else min(len(data), start + 4096)].rstrip(b"\r%")
    if b" " in value or len(value) < 6 or is_reference(value) or value.startswith((b"-", b"/", b"$", b"#", b"Error")):
        return
    if not (looks_random(value, 12) or re.search(rb"\d|[^\w-]", value)):
        return
    page.add(start, start + len(value), "secret")
