"""The tokens that say themselves whose they are: one rule a line, from the formats' public documentation.

A line is: placeholder kind, shape, an example that must go, a look-alike that must stay, where the format is described.
A shape is a fixed-width beginning, then a class with an open end: `{30,}` also takes a token that is cut short or
mistyped by a few characters, and whatever is appended to one. Nothing here checks entropy or checksums.
Examples are recipes (`<a36>`: 36 letters and digits; see `example`), so that this file trips no scanner.
Not for values that only their key's name gives away: those are `keyed`.
"""
# ruff: noqa: E501
# fmt: off

from __future__ import annotations

import random
import re
import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class TokenRule:
    kind: str  # the placeholder's kind, and the id that a policy's `off` names
    shape: str  # regular expression in the subset that re, RE2 and hyperscan read alike
    example: str
    counterexample: str
    source: str
    anchor: str = ""  # for shapes that begin with nothing of their own: what the engine looks for instead

    def begins(self) -> list[tuple[str, int]]:
        """What the one-pass engine looks for: the shape's fixed-width beginnings, each with its width."""
        return [(self.anchor, 0)] if self.anchor else beginnings(self.shape)

    @property
    def needs_boundary(self) -> bool:
        """Whether it counts only at a word's start: its prefix is too short to be no accident inside a word."""
        prefix = re.match(r"(?:[\w-]|\\.)*", self.shape)
        literal = prefix.group().replace("\\", "") if prefix else ""
        return not (len(literal) >= 4 and re.search(r"[-_.]", literal))


R = TokenRule
RULES: Final[Sequence[TokenRule]] = (
    # Cloud providers
    R("aws-access-key", r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}(?![A-Za-z0-9])", "AKIA<B16>", "ASIAANDPACIFICREGIONS", "docs.aws.amazon.com/IAM reference_identifiers unique ids"),
    R("aws-bedrock-key", r"ABSK[A-Za-z0-9+/]{60,}={0,2}", "ABSK<a120>", "ABSK<a12>", "docs.aws.amazon.com/bedrock api-keys"),
    R("aws-bedrock-short-key", r"bedrock-api-key-[A-Za-z0-9+/=]{40,}", "bedrock-api-key-<a90>", "bedrock-api-key-id", "docs.aws.amazon.com/bedrock api-keys"),
    R("aws-mws-token", r"amzn\.mws\.[0-9a-f]{8}-[0-9a-f-]{20,}", "amzn.mws.<U>", "amzn.mws.orders", "developer-docs.amazon.com/sp-api"),
    R("aws-session-token", r"(?:IQoJb3JpZ2lu|FwoGZXIvYXdz|FQoGZXIvYXdz)[A-Za-z0-9+/%]{60,}={0,2}", "IQoJb3JpZ2lu<a200>", "IQoJb3JpZ2lu", "docs.aws.amazon.com/STS GetSessionToken"),
    R("amazon-oauth-token", r"Atz[ar]\|[A-Za-z0-9+/_=-]{40,}", "Atza|<a120>", "Atza|x", "developer.amazon.com/login-with-amazon"),
    R("amazon-oauth-secret", r"amzn1\.oa2-cs\.v1\.[0-9a-f]{40,}", "amzn1.oa2-cs.v1.<h64>", "amzn1.application-oa2-client.<h32>", "developer.amazon.com/login-with-amazon"),
    R("gcp-api-key", r"AIza[A-Za-z0-9_-]{33,}", "AIza<w35>", "AIza<a12>", "cloud.google.com/docs/authentication/api-keys"),
    R("gcp-bound-key", r"AQ\.Ab[A-Za-z0-9_-]{40,}", "AQ.Ab<w50>", "AQ.Ab", "cloud.google.com/docs/authentication/api-keys"),
    R("google-oauth-secret", r"GOCSPX-[A-Za-z0-9_-]{20,}", "GOCSPX-<w28>", "GOCSPX-x", "developers.google.com/identity/protocols/oauth2"),
    R("google-oauth-token", r"ya29\.[A-Za-z0-9_-]{20,}[A-Za-z0-9_.-]*", "ya29.a0<w160>", "ya29.txt", "developers.google.com/identity/protocols/oauth2"),
    R("google-refresh-token", r"1//0[A-Za-z0-9_-]{30,}", "1//0g<w60>", "1//0", "developers.google.com/identity/protocols/oauth2"),
    R("google-hmac-key", r"GOOG1E[A-Z0-9]{50,}", "GOOG1E<u55>", "GOOG1EXAMPLE", "cloud.google.com/storage/docs/authentication/hmackeys"),
    R("azure-client-secret", r"[A-Za-z0-9_~.-]{3}[0-9]Q~[A-Za-z0-9_~.-]{30,}", "<a3>8Q~<a34>", "a8Q~x", "learn.microsoft.com/entra identity-platform credentials", r"[0-9]Q~[A-Za-z0-9_~.-]{30}"),
    R("azure-devops-token", r"[A-Za-z0-9]{76}AZDO[A-Za-z0-9]{4}(?![A-Za-z0-9])", "<a76>AZDO<a4>", "<a20>AZDO<a4>", "learn.microsoft.com/azure/devops use-personal-access-tokens", r"[A-Za-z0-9]{8}AZDO[A-Za-z0-9]{4}"),
    R("azure-keyed-secret", r"[A-Za-z0-9+/]{33,80}(?:AIoT|\+ASb|\+AEh|\+ASt|\+AMC|\+ABa|ACDb|APIM|\+ACR|AzCa|AzFu|AzSe)[A-Za-z0-9+/]{4,}={0,2}", "<a38>+ASt<a6>==", "<a33>", "learn.microsoft.com/purview sit-defn-azure (common annotated keys)", r"(?:AIoT|\+ASb|\+AEh|\+ASt|\+AMC|\+ABa|ACDb|APIM|\+ACR|AzCa|AzFu|AzSe)[A-Za-z0-9+/]{4,6}="),
    R("azure-annotated-key", r"[A-Za-z0-9]{52}JQQJ9[A-Za-z0-9]{23,}", "<a52>JQQJ99<a22>", "<a52>JQQ", "learn.microsoft.com/azure/ai-services keys", r"[A-Za-z0-9]{8}JQQJ9[A-Za-z0-9]{23}"),
    R("azure-storage-signature", r"sig=[A-Za-z0-9%+/]{40,}={0,2}", "sig=<a43>%3D", "sig=sha256", "learn.microsoft.com/rest/api/storageservices create-service-sas"),
    R("alibaba-access-key", r"LTAI[A-Za-z0-9]{12,}", "LTAI5t<a18>", "LTAIL", "alibabacloud.com/help/ram accesskey"),
    R("tencent-secret-id", r"AKID[A-Za-z0-9]{28,}", "AKID<a32>", "AKID<a6>", "cloud.tencent.com/document/product/598"),
    R("yandex-key", r"AQVN[A-Za-z0-9_-]{30,}", "AQVN<w36>", "AQVNx", "yandex.cloud/docs/iam/concepts/authorization/api-key"),
    R("yandex-oauth-token", r"(?:y[0-3]__?|t1\.)[A-Za-z0-9_-]{50,}={0,2}(?:\.[A-Za-z0-9_-]{20,}={0,2})?", "y0_<w58>", "y0_x", "yandex.cloud/docs/iam/concepts/authorization/oauth-token"),
    R("yandex-static-key", r"YC[A-Z][A-Za-z0-9_-]{35,}", "YCM<w38>", "YCMx", "yandex.cloud/docs/iam/concepts/authorization/access-key"),
    R("ibm-cloud-token", r"ApiKey-[0-9a-f]{8}-[0-9a-f-]{20,}", "ApiKey-<U>", "ApiKey-name", "cloud.ibm.com/docs/account"),
    R("digitalocean-token", r"do[opr]_v1_[a-f0-9]{40,}", "dop_v1_<h64>", "dop_v1_x", "docs.digitalocean.com/reference/api/create-personal-access-token"),
    R("cloudflare-origin-key", r"v1\.0-[a-f0-9]{20,}-[a-f0-9]{100,}", "v1.0-<h24>-<h146>", "v1.0-<h12>", "developers.cloudflare.com/fundamentals/api/get-started/ca-keys"),
    R("cloudflare-token", r"cf(?:ut|at|k)_[A-Za-z0-9_-]{40,}", "cfut_<a46>", "cfut_x", "developers.cloudflare.com/fundamentals/api"),
    R("heroku-key", r"HRKU-[A-Za-z0-9_-]{30,}", "HRKU-AA<w58>", "HRKU-x", "devcenter.heroku.com/articles/authentication"),
    R("flyio-token", r"(?:fo1_[A-Za-z0-9_-]{30,}|fm[12][ar]?_[A-Za-z0-9+/=_-]{50,}(?:,fm[12][ar]?_[A-Za-z0-9+/=_-]{20,})*)", "fo1_<w43>", "fo1_x", "fly.io/docs/security/tokens"),
    R("scaleway-key", r"SCW[A-Z0-9]{17}(?![A-Za-z0-9])", "SCW<u17>", "SCWx", "scaleway.com/en/docs/iam"),
    R("exoscale-key", r"EXO[a-f0-9]{24,}", "EXO<h26>", "EXOx", "community.exoscale.com/api"),
    R("vercel-token", r"vc[pkaiorsbu]_[A-Za-z0-9]{24,}", "vcp_<a56>", "vcp_x", "vercel.com/docs/rest-api"),
    R("vercel-blob-token", r"vercel_blob_rw_[A-Za-z0-9]{12,}_[A-Za-z0-9]{20,}", "vercel_blob_rw_<a16>_<a30>", "vercel_blob_rw_token", "vercel.com/docs/vercel-blob"),
    R("netlify-token", r"nf[pcouba]_[A-Za-z0-9]{30,}", "nfp_<a36>", "nfp_x", "docs.netlify.com/api"),
    R("render-key", r"rnd_[A-Za-z0-9]{24,}", "rnd_<a32>", "rnd_seed", "render.com/docs/api"),
    R("railway-token", r"rw_[A-Za-z0-9]{4}_[A-Za-z0-9]{30,}", "rw_Fe26_<a40>", "rw_lock", "docs.railway.com"),
    R("civo-token", r"civo_[A-Za-z0-9]{40,}", "civo_<a50>", "civo_region", "civo.com/api"),
    R("upcloud-token", r"ucat_[A-Z0-9]{20,}", "ucat_01<u24>", "ucat_x", "developers.upcloud.com"),
    R("ovh-consumer-key", r"ovh_[A-Za-z0-9]{40,}", "ovh_<a48>", "ovh_x", "help.ovhcloud.com"),
    R("openstack-fernet-token", r"gAAAAA[A-Za-z0-9_-]{80,}={0,2}", "gAAAAA<w120>", "gAAAAA", "docs.openstack.org/keystone fernet-token"),
    # Version control and CI
    R("github-token", r"gh[poushr]_[A-Za-z0-9]{30,}", "ghp_<a36>", "ghp_example", "github.blog/engineering/behind-githubs-new-authentication-token-formats"),
    R("github-installation-token", r"ghs_[A-Za-z0-9]{4,}_[A-Za-z0-9_.-]{36,}", "ghs_<d8>_eyJ<w80>.<w80>", "ghs_token", "docs.github.com/apps"),
    R("github-fine-grained-token", r"github_pat_[A-Za-z0-9_]{50,}", "github_pat_<a22>_<a59>", "github_pat_name", "docs.github.com/authentication about-authentication"),
    R("github-app-client-secret", r"gh[oa]c_[A-Za-z0-9]{30,}", "ghoc_<a40>", "ghoc_x", "docs.github.com/apps"),
    R("gitlab-token", r"gl(?:pat|cbt|dt|rt|rtr|ptt|ft|imt|agent|oas|soat|ffct|wt|ci)-[A-Za-z0-9_=-]{18,}(?:\.[a-z0-9]{2}\.[a-z0-9]{7,})?", "glpat-<w20>", "glpat-x", "docs.gitlab.com/security/tokens token prefixes"),
    R("gitlab-routable-token", r"glpat-[A-Za-z0-9_=-]{20,}\.[a-z0-9]{2}\.[a-z0-9]{7,}", "glpat-<w27>.01.<l9>", "glpat-x", "docs.gitlab.com/security/tokens"),
    R("gitlab-runner-registration", r"GR1348941[A-Za-z0-9_-]{16,}", "GR1348941<w20>", "GR1348941", "docs.gitlab.com/security/tokens"),
    R("gitlab-session", r"_gitlab_session=[0-9a-f]{32,}", "_gitlab_session=<h32>", "_gitlab_session=none", "docs.gitlab.com"),
    R("bitbucket-app-password", r"ATBB[A-Za-z0-9]{24,}", "ATBB<a32>", "ATBBx", "support.atlassian.com/bitbucket-cloud app-passwords"),
    R("atlassian-token", r"AT(?:ATT3|CTT3|ABB3)[A-Za-z0-9_=-]{40,}", "ATATT3<w180>", "ATATT3", "support.atlassian.com manage-api-tokens"),
    R("gitea-token", r"gto_[A-Za-z0-9]{40,}", "gto_<a52>", "gto_x", "docs.gitea.com"),
    R("sourcegraph-token", r"sg[psd]_(?:[a-fA-F0-9]{16}_|local_)?[a-fA-F0-9]{40,}", "sgp_<h16>_<h40>", "sgp_x", "sourcegraph.com/docs/cli"),
    R("circleci-token", r"CCI(?:PAT|PRJ)_[A-Za-z0-9]{16,}_[a-f0-9]{32,}", "CCIPAT_<a22>_<h40>", "CCIPAT_x", "circleci.com/docs/managing-api-tokens"),
    R("buildkite-token", r"bk(?:ua|at|ct|pi|aj|pt)_[A-Za-z0-9]{32,}", "bkua_<h40>", "bkua_x", "buildkite.com/docs/apis/managing-api-tokens"),
    R("harness-token", r"(?:pat|sat)\.[A-Za-z0-9_-]{22}\.[0-9a-f]{24}\.[A-Za-z0-9]{18,}", "pat.<w22>.<h24>.<a20>", "pat.x", "developer.harness.io"),
    R("octopus-key", r"API-[A-Z0-9]{25,}", "API-<u30>", "API-GATEWAY", "octopus.com/docs/octopus-rest-api"),
    R("codecov-upload", r"codecov_[A-Za-z0-9]{36,}", "codecov_<a40>", "codecov_yml", "docs.codecov.com"),
    R("sonar-token", r"sq[upa]_[a-f0-9]{36,}", "squ_<h40>", "squ_x", "docs.sonarsource.com user-token"),
    R("snyk-token", r"snyk_(?:uat|sat)\.[A-Za-z0-9]{6,}\.[A-Za-z0-9_-]{30,}[A-Za-z0-9_.-]*", "snyk_uat.<h8>.<w80>", "snyk_cli", "docs.snyk.io"),
    R("semgrep-token", r"sgp_[A-Za-z0-9]{40,}", "sgp_<a48>", "sgp_x", "semgrep.dev/docs"),
    R("terraform-token", r"[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{50,}", "<a14>.atlasv1.<a67>", "x.atlasv1.y", "developer.hashicorp.com/terraform/cloud-docs/users-teams-organizations/api-tokens", r"[A-Za-z0-9]{6}\.atlasv1\.[A-Za-z0-9_=-]{50}"),
    R("pulumi-token", r"pul-[a-f0-9]{36,}", "pul-<h40>", "pul-x", "pulumi.com/docs access-tokens"),
    R("spacelift-token", r"spl_[A-Za-z0-9]{40,}", "spl_<a50>", "spl_x", "docs.spacelift.io"),
    R("infracost-key", r"ico-[A-Za-z0-9]{28,}", "ico-<a32>", "ico-x", "infracost.io/docs"),
    R("env0-key", r"env0_[A-Za-z0-9]{30,}", "env0_<a36>", "env0_x", "docs.env0.com"),
    # Secret stores and identity
    R("vault-token", r"hv[sbr]\.[A-Za-z0-9_-]{24,}", "hvs.<w90>", "hvs.x", "developer.hashicorp.com/vault/docs/concepts/tokens"),
    R("vault-legacy-token", r"\b(?:s|b)\.[A-Za-z0-9]{24}(?:\.[A-Za-z0-9]{5})?(?![A-Za-z0-9.])", "s.<a24>", "s.connectionPool", "developer.hashicorp.com/vault/docs/concepts/tokens"),
    R("doppler-token", r"dp\.(?:pt|st|ct|sa|scim|audit|said)\.(?:[a-z0-9_-]{2,35}\.)?[A-Za-z0-9]{36,}", "dp.pt.<a43>", "dp.pt.x", "docs.doppler.com/reference/auth-token-formats"),
    R("infisical-token", r"st\.[0-9a-f]{24}\.[0-9a-f]{32,}\.[0-9a-f]{32,}", "st.<h24>.<h32>.<h32>", "st.x", "infisical.com/docs service-token"),
    R("onepassword-token", r"ops_eyJ[A-Za-z0-9_+/=-]{60,}", "ops_eyJ<w200>", "ops_eyJ", "developer.1password.com/docs/service-accounts"),
    R("onepassword-secret-key", r"A3-[A-Z0-9]{6}-[A-Z0-9]{6}-[A-Z0-9]{5}-[A-Z0-9]{5}-[A-Z0-9]{5}(?:-[A-Z0-9]{5})?", "A3-<u6>-<u6>-<u5>-<u5>-<u5>", "A3-size", "support.1password.com/secret-key-security"),
    R("age-secret-key", r"AGE-SECRET-KEY-1[A-Z0-9]{40,}", "AGE-SECRET-KEY-1<u58>", "AGE-SECRET-KEY-1", "age-encryption.org/v1"),
    R("age-plugin-identity", r"AGE-PLUGIN-[A-Z0-9-]{3,20}-1[A-Z0-9]{30,}", "AGE-PLUGIN-YUBIKEY-1<u40>", "AGE-PLUGIN-X", "age-encryption.org"),
    R("okta-token", r"\b00[A-Za-z0-9_-]{40}(?![A-Za-z0-9_-])", "00<m40>", "00<d20>", "developer.okta.com/docs/guides/create-an-api-token"),
    R("teleport-token", r"teleport_[a-f0-9]{32,}", "teleport_<h40>", "teleport_x", "goteleport.com/docs"),
    R("tailscale-key", r"tskey-(?:auth|api|client|scim|webhook|oauth)?-?[A-Za-z0-9]{8,}-[A-Za-z0-9]{20,}", "tskey-auth-<a12>CNTRL-<a32>", "tskey-x", "tailscale.com/kb key-prefixes"),
    R("jumpcloud-key", r"jca_[A-Za-z0-9]{30,}", "jca_<a36>", "jca_x", "jumpcloud.com/support"),
    R("workos-key", r"sk_(?:test|live|prod)_[A-Za-z0-9]{16,}", "sk_live_<a40>", "sk_live_x", "workos.com/docs"),
    R("clerk-key", r"(?:ak|mch|oat)_[A-Za-z0-9]{30,}", "ak_<a40>", "ak_x", "clerk.com/docs"),
    R("auth0-secret", r"a0[a-z]{2}_[A-Za-z0-9_-]{40,}", "a0cs_<w60>", "a0_x", "auth0.com/docs"),
    R("stytch-secret", r"secret-(?:test|live)-[A-Za-z0-9_=-]{30,}", "secret-live-<w40>", "secret-live-x", "stytch.com/docs"),
    # Payment and commerce
    R("stripe-key", r"(?:sk|rk)_(?:live|test|prod)_[A-Za-z0-9]{16,}", "rk_live_<a24>", "pk_live_<a24>", "docs.stripe.com/keys"),
    R("stripe-webhook-secret", r"whsec_[A-Za-z0-9+/=]{24,}", "whsec_<a32>", "whsec_x", "docs.stripe.com/webhooks"),
    R("square-token", r"(?:EAAA[A-Za-z0-9_-]{50,}|sq0[a-z]{3}-[A-Za-z0-9_-]{20,})", "EAAA<w60>", "EAAA<a10>", "developer.squareup.com access tokens"),
    R("braintree-token", r"access_token\$(?:production|sandbox)\$[a-z0-9]{12,}\$[a-f0-9]{28,}", "access_token$production$<l16>$<h32>", "access_token$x", "developer.paypal.com/braintree"),
    R("paypal-secret", r"A21AA[A-Za-z0-9_-]{60,}", "A21AA<w92>", "A21AA", "developer.paypal.com/api/rest/authentication"),
    R("adyen-key", r"AQE[a-z][A-Za-z0-9+/]{60,}[A-Za-z0-9+/=<>{}.()*&^%$#@!?,:;~|_-]*", "AQEy<a90>-<a40>=-<a16>", "AQEy<a12>", "docs.adyen.com/development-resources/api-credentials"),
    R("razorpay-key", r"rzp_(?:live|test)_[A-Za-z0-9]{14,}", "rzp_live_<a14>", "rzp_live_x", "razorpay.com/docs/api/authentication"),
    R("paddle-key", r"pdl_(?:live|sdbx)_apikey_[A-Za-z0-9]{20,}_[A-Za-z0-9]{16,}(?:_[A-Za-z0-9]{3})?", "pdl_live_apikey_<l26>_<a22>_<a3>", "pdl_live_x", "developer.paddle.com/api-reference/about/api-keys"),
    R("paddle-webhook-secret", r"pdl_ntfset_[A-Za-z0-9]{20,}_[A-Za-z0-9+/]{20,}", "pdl_ntfset_<l26>_<a32>", "pdl_ntfset_x", "developer.paddle.com/webhooks"),
    R("shopify-token", r"shp(?:at|ca|pa|ss|tka|atk)_[a-fA-F0-9]{28,}", "shpat_<h32>", "shpat_x", "shopify.dev/docs/apps/build/authentication-authorization"),
    R("flutterwave-key", r"FLW(?:SECK|SECKTEST|PUBK)(?:_TEST)?-[A-Za-z0-9]{12,}(?:-X)?", "FLWSECK-<h32>-X", "FLWSECK-x", "developer.flutterwave.com/docs/authentication"),
    R("mollie-key", r"(?:live|test)_[A-Za-z0-9]{30}(?![A-Za-z0-9])", "live_<a30>", "live_reload_interval_seconds_ms", "docs.mollie.com/reference/authentication"),
    R("mollie-access-token", r"access_[A-Za-z0-9]{30,}", "access_<a36>", "access_log", "docs.mollie.com/reference/authentication"),
    R("gocardless-token", r"(?:live|sandbox)_[A-Za-z0-9_-]{40}(?![A-Za-z0-9_-])", "sandbox_<m40>", "sandbox_x", "developer.gocardless.com/api-reference"),
    R("plaid-token", r"(?:access|public|link)-(?:sandbox|development|production)-[0-9a-f]{8}-[0-9a-f-]{20,}", "access-production-<U>", "access-production-log", "plaid.com/docs/api/tokens"),
    R("duffel-token", r"duffel_(?:live|test)_[A-Za-z0-9_-]{36,}", "duffel_live_<w43>", "duffel_live_x", "duffel.com/docs/api/overview/authentication"),
    R("shippo-token", r"shippo_(?:live|test)_[a-f0-9]{36,}", "shippo_live_<h40>", "shippo_live_x", "docs.goshippo.com/docs/guides_general/authentication"),
    R("easypost-key", r"EZ[AT]K[A-Za-z0-9]{40,}", "EZAK<a54>", "EZAKx", "docs.easypost.com/docs/authentication"),
    R("lob-key", r"(?:live|test)_(?:pub_)?[a-f0-9]{31,}", "test_<h35>", "test_fixture", "docs.lob.com"),
    R("lemon-squeezy-key", r"lmsq_[A-Za-z0-9_-]{40,}", "lmsq_<a60>", "lmsq_x", "docs.lemonsqueezy.com/api"),
    R("coinbase-key", r"organizations/[0-9a-f-]{36}/apiKeys/[0-9a-f-]{36}", "organizations/<U>/apiKeys/<U>", "organizations/<U>/members", "docs.cdp.coinbase.com"),
    R("polar-token", r"polar_(?:oat|pat|at_[uo]|rt_[uo]|cst|whs|ac)_[A-Za-z0-9]{30,}", "polar_oat_<a43>", "polar_x", "polar.sh/docs/api-reference"),
    R("samsara-token", r"samsara_api_[A-Za-z0-9]{24,}", "samsara_api_<a30>", "samsara_api_x", "developers.samsara.com"),
    # Chat, mail, telephony
    R("slack-token", r"xox[a-z](?:\.xox[a-z])?-[A-Za-z0-9-]{10,}", "xoxb-<d12>-<d13>-<a24>", "xoxb-x", "api.slack.com/concepts/token-types"),
    R("slack-config-token", r"xoxe\.xox[bp]-\d-[A-Za-z0-9]{40,}", "xoxe.xoxp-1-<a150>", "xoxe.xoxp-1-x", "api.slack.com/authentication/config-tokens"),
    R("slack-app-token", r"xapp-\d-[A-Z0-9]{8,}-\d+-[a-f0-9]{20,}", "xapp-1-<u11>-<d13>-<h64>", "xapp-1-X", "api.slack.com/concepts/token-types"),
    R("discord-token", r"[MNO][A-Za-z0-9_-]{22,}\.[A-Za-z0-9_-]{6,7}\.[A-Za-z0-9_-]{27,}", "MT<a24>.G<w5>.<w38>", "Module.name.value", "discord.com/developers/docs/reference", r"\.[GXYZ][A-Za-z0-9_-]{5,6}\.[A-Za-z0-9_-]{27}"),
    R("telegram-token", r"[0-9]{8,10}:AA[A-Za-z0-9_-]{30,}", "<d9>:AA<w33>", "1234567890:AAx", "core.telegram.org/bots/api", r"[0-9]{6}:AA[A-Za-z0-9_-]{30}"),
    R("twilio-key", r"SK[0-9a-f]{32}(?![0-9A-Za-z])", "SK<h32>", "SK<h12>", "twilio.com/docs/iam/api-keys"),
    R("sendgrid-key", r"SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}", "SG.<w22>.<w43>", "SG.x", "twilio.com/docs/sendgrid/ui/account-and-settings/api-keys"),
    R("mailgun-key", r"[0-9a-f]{32}-[0-9a-f]{8}-[0-9a-f]{8}(?![0-9a-f-])", "<h32>-<h8>-<h8>", "<h32>-<h8>", "documentation.mailgun.com api keys", r"-[0-9a-f]{8}-[0-9a-f]{8}"),
    R("mailgun-legacy-key", r"(?:pub)?key-[0-9a-f]{32,}", "key-<h32>", "key-name", "documentation.mailgun.com api keys"),
    R("mailchimp-key", r"[0-9a-f]{32}-us[0-9]{1,2}(?![0-9a-z-])", "<h32>-us12", "<h32>-use", "mailchimp.com/developer", r"[0-9a-f]{8}-us[0-9]"),
    R("mandrill-key", r"md-[A-Za-z0-9_-]{22}(?![A-Za-z0-9_-])", "md-<m22>", "md-x", "mailchimp.com/developer/transactional"),
    R("brevo-key", r"xkeysib-[a-f0-9]{50,}(?:-[A-Za-z0-9]{10,})?", "xkeysib-<h64>-<a16>", "xkeysib-x", "developers.brevo.com/docs/getting-started"),
    R("brevo-smtp-key", r"xsmtpsib-[a-f0-9]{50,}(?:-[A-Za-z0-9]{10,})?", "xsmtpsib-<h64>-<a16>", "xsmtpsib-x", "developers.brevo.com"),
    R("resend-key", r"re_[A-Za-z0-9]{8}_[A-Za-z0-9]{20,}", "re_<a8>_<a24>", "re_compile_pattern", "resend.com/docs/api-reference"),
    R("postmark-token", r"pm(?:at|st)_[A-Za-z0-9-]{30,}", "pmat_<a36>", "pmat_x", "postmarkapp.com/developer"),
    R("mailersend-token", r"mlsn\.[a-f0-9]{50,}", "mlsn.<h64>", "mlsn.x", "developers.mailersend.com"),
    R("loops-key", r"(?:klaviyo|loops)_[a-f0-9]{32,}", "loops_<h40>", "loops_x", "loops.so/docs/api-reference"),
    R("klaviyo-key", r"pk_[A-Za-z0-9]{6}_[a-f0-9]{30,}", "pk_<a6>_<h34>", "pk_test_<a24>", "developers.klaviyo.com"),
    R("messagebird-key", r"(?:MessageBird|AccessKey) [A-Za-z0-9]{25,}", "AccessKey <a25>", "AccessKey id", "developers.messagebird.com/api"),
    R("knock-key", r"sk_[A-Za-z0-9]{40,}", "sk_<a48>", "sk_name", "docs.knock.app"),
    R("pagerduty-key", r"u\+[A-Za-z0-9_+-]{18}(?![A-Za-z0-9_+-])", "u+<a18>", "u+x", "support.pagerduty.com/docs/api-access-keys"),
    R("courier-key", r"pk_(?:prod|test)_[A-Z0-9]{26,}", "pk_prod_<u28>", "pk_prod_x", "courier.com/docs"),
    R("onesignal-key", r"os_v2_(?:app|org)_[a-z0-9]{60,}", "os_v2_app_<l100>", "os_v2_x", "documentation.onesignal.com keys-and-ids"),
    R("svix-token", r"(?:testsk|sk)_[A-Za-z0-9_-]{30,}\.(?:us|eu|ca|au|in)", "testsk_<w40>.eu", "testsk_x", "docs.svix.com"),
    R("ably-key", r"[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{6}:[A-Za-z0-9_-]{43,}", "<a6>.<a6>:<w43>", "a.b:c", "ably.com/docs/auth/basic", r"[A-Za-z0-9_-]\.[A-Za-z0-9_-]{6}:[A-Za-z0-9_-]{43}"),
    # SaaS
    R("asana-token", r"[0-9]/[0-9]{15,17}(?:/[0-9]{15,17})?:[a-f0-9]{32,}", "2/<d16>/<d16>:<h32>", "2/<d16>", "developers.asana.com/docs/personal-access-token", r"/[0-9]{15,17}:[a-f0-9]{32}"),
    R("airtable-token", r"pat[A-Za-z0-9]{14}\.[a-f0-9]{50,}", "pat<a14>.<h64>", "pat<a14>", "airtable.com/developers/web/guides/personal-access-tokens"),
    R("notion-token", r"(?:secret_[A-Za-z0-9]{40,}|ntn_[A-Za-z0-9]{40,})", "ntn_<a46>", "secret_manager", "developers.notion.com/docs/authorization"),
    R("linear-key", r"lin_(?:api|oauth|wh)_[A-Za-z0-9]{32,}", "lin_api_<a40>", "lin_api_x", "linear.app/developers"),
    R("figma-token", r"fig(?:d|or?|u|ohr?|o[ra]t?)_[A-Za-z0-9_-]{30,}", "figd_<w40>", "figd_x", "developers.figma.com/docs/rest-api/authentication"),
    R("contentful-token", r"CFPAT-[A-Za-z0-9_-]{38,}", "CFPAT-<w43>", "CFPAT-x", "contentful.com/developers/docs"),
    R("typeform-token", r"tfp_[A-Za-z0-9_=.-]{36,}", "tfp_<w44>_<w14>", "tfp_x", "typeform.com/developers/get-started/personal-access-token"),
    R("hubspot-token", r"pat-(?:na|eu|ap)[0-9]-[0-9a-f]{8}-[0-9a-f-]{20,}", "pat-eu1-<U>", "pat-eu1-x", "developers.hubspot.com/docs private-apps"),
    R("intercom-token", r"dG9rO[A-Za-z0-9+/_-]{40,}={0,2}", "dG9rO<a55>", "dG9rO", "developers.intercom.com"),
    R("postman-key", r"PMAK-[a-f0-9]{20,}(?:-[a-f0-9]{30,})?", "PMAK-<h24>-<h34>", "PMAK-x", "learning.postman.com/docs/developer/postman-api/authentication"),
    R("postman-collection-key", r"PMAT-[A-Z0-9]{24,}", "PMAT-<u26>", "PMAT-x", "learning.postman.com"),
    R("readme-key", r"rdme_[a-z0-9]{50,}", "rdme_<l70>", "rdme_x", "docs.readme.com/main/docs/api-keys"),
    R("dropbox-token", r"sl\.(?:u\.)?[A-Za-z0-9_-]{60,}", "sl.u.<w130>", "sl.x", "dropbox.com/developers/reference/oauth-guide"),
    R("calendly-token", r"cal_(?:live|test)_[A-Za-z0-9]{28,}", "cal_live_<h32>", "cal_live_x", "cal.com/docs"),
    R("todoist-or-frameio-token", r"fio-u-[A-Za-z0-9_=-]{50,}", "fio-u-<w64>", "fio-u-x", "developer.frame.io"),
    R("clickup-token", r"pk_[0-9]{6,9}_[A-Z0-9]{30,}", "pk_<d8>_<u32>", "pk_123", "developer.clickup.com/docs/authentication"),
    R("mapbox-token", r"[st]k\.eyJ[A-Za-z0-9_-]{30,}\.[A-Za-z0-9_-]{20,}", "sk.eyJ<w70>.<w22>", "pk.eyJ<w20>", "docs.mapbox.com/api/accounts/tokens"),
    R("shutterstock-token", r"v2/[A-Za-z0-9]{60,}", "v2/<a388>", "v2/users", "api-reference.shutterstock.com"),
    R("facebook-token", r"EAA(?:[A-Z][A-Za-z0-9]{80,}|[A-Za-z0-9]{80,})", "EAAC<a150>", "EAAC<a10>", "developers.facebook.com/docs/facebook-login/guides/access-tokens"),
    R("instagram-token", r"IG(?:QV|AA)[A-Za-z0-9_-]{60,}", "IGQV<a140>", "IGQVx", "developers.facebook.com/docs/instagram-platform"),
    R("twitter-bearer-token", r"AAAAAAAAAAAAAAAAAAAAA[A-Za-z0-9%]{50,}", "AAAAAAAAAAAAAAAAAAAAA<a90>", "AAAAAAAAAAAAAAAAAAAAAAAAAAAA", "docs.x.com/fundamentals/authentication"),
    R("linkedin-secret", r"WPL_AP[0-9]\.[A-Za-z0-9]{14,}\.[A-Za-z0-9+/=]{6,}", "WPL_AP1.<a16>.<a8>", "WPL_AP1.x", "learn.microsoft.com/linkedin"),
    R("zapier-mcp-key", r"ak_[A-Za-z0-9]{20,}_[A-Za-z0-9]{20,}", "ak_<a24>_<a24>", "ak_name", "docs.zapier.com"),
    R("smartling-or-lokalise-key", r"tmgr_[A-Za-z0-9]{30,}", "tmgr_<a40>", "tmgr_x", "developers.lokalise.com"),
    R("ngrok-key", r"(?:ak|api|cr|rt)_2[A-Za-z0-9]{26}(?![A-Za-z0-9])", "ak_2<a26>", "ak_2", "ngrok.com/docs/agent/config"),
    R("ngrok-token", r"[0-9][A-Za-z0-9]{26}_[0-9][A-Za-z0-9]{20,}", "2<a26>_<d1><a21>", "2<a26>", "ngrok.com/docs/agent/config", r"[A-Za-z0-9]{12}_[0-9][A-Za-z0-9]{20}"),
    R("shodan-or-virustotal-feed", r"vt_[a-f0-9]{64,}", "vt_<h64>", "vt_x", "docs.virustotal.com"),
    # Observability and feature management
    R("datadog-token", r"dd(?:pat|sat|app|rc|oat)_[A-Za-z0-9]{28,}", "ddpat_<a40>", "ddpat_x", "docs.datadoghq.com/account_management"),
    R("newrelic-key", r"NR(?:AK|IQ|RA|II|BR|JS|AL|AA|SP)-[A-Za-z0-9_-]{18,}", "NRAK-<u27>", "NRAK-x", "docs.newrelic.com/docs/apis/intro-apis/new-relic-api-keys"),
    R("newrelic-license-key", r"(?:eu01xx|us01xx)?[0-9a-f]{32,36}(?:FFFF)?NRAL(?![A-Za-z0-9])", "<h36>NRAL", "<h36>NR", "docs.newrelic.com", r"[0-9a-f]{8}(?:FFFF)?NRAL"),
    R("grafana-cloud-token", r"glc_[A-Za-z0-9+/=_-]{40,}", "glc_eyJ<a110>", "glc_x", "grafana.com/docs/grafana-cloud access-policies"),
    R("grafana-service-account", r"glsa_[A-Za-z0-9]{28,}_?[a-fA-F0-9]*", "glsa_<a32>_<h8>", "glsa_x", "grafana.com/docs/grafana service-accounts"),
    R("grafana-legacy-key", r"eyJrIjoi[A-Za-z0-9]{40,}={0,2}", "eyJrIjoi<a90>", "eyJrIjoi", "grafana.com/docs/grafana api-keys"),
    R("sentry-token", r"sntr(?:ys|yu|ya|ym|yi|yr)_[A-Za-z0-9+/=_-]{40,}", "sntryu_<h64>", "sntrys_x", "docs.sentry.io/account/auth-tokens"),
    R("honeycomb-key", r"hc[abcix][a-z]?[ik]?[ckh]_[A-Za-z0-9]{50,}", "hcaik_<l58>", "hcaik_x", "docs.honeycomb.io api keys"),
    R("launchdarkly-key", r"(?:sdk|api|mob|rel)-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{10,}", "sdk-<U>", "sdk-version", "launchdarkly.com/docs/home/account/api"),
    R("dynatrace-token", r"dt0[a-z][0-9]{2}\.[A-Z0-9]{24}\.[A-Z0-9]{50,}", "dt0c01.<u24>.<u64>", "dt0c01.x", "docs.dynatrace.com token format"),
    R("posthog-key", r"ph[xsra]_[A-Za-z0-9_-]{30,}", "phx_<a43>", "phc_<a43>", "posthog.com/docs/api"),
    R("logfire-token", r"pylf_v[0-9]_[a-z]{2}_[A-Za-z0-9]{30,}", "pylf_v1_us_<a40>", "pylf_v1_x", "logfire.pydantic.dev/docs"),
    R("axiom-token", r"xa[aip]t-[0-9a-f]{8}-[0-9a-f-]{20,}", "xaat-<U>", "xaat-x", "axiom.co/docs/reference/tokens"),
    R("betterstack-or-cronitor-token", r"btk_[A-Za-z0-9]{24,}", "btk_<a32>", "btk_x", "betterstack.com/docs"),
    R("statsig-key", r"(?:secret|console)-[A-Za-z0-9]{36,}", "secret-<a40>", "secret-manager-config", "docs.statsig.com"),
    R("configcat-key", r"configcat-sdk-[0-9]/[A-Za-z0-9_-]{20,}/[A-Za-z0-9_-]{20,}", "configcat-sdk-1/<w22>/<w22>", "configcat-sdk-1", "configcat.com/docs"),
    R("instana-or-coralogix-key", r"cx(?:tp|up|sk)_[A-Za-z0-9]{26,}", "cxtp_<a30>", "cxtp_x", "coralogix.com/docs"),
    R("rootly-token", r"rootly_[a-f0-9]{60,}", "rootly_<h64>", "rootly_x", "docs.rootly.com"),
    R("elastic-agent-key", r"essu_[A-Za-z0-9+/=]{40,}", "essu_<a60>", "essu_x", "elastic.co/docs api keys"),
    R("github-actions-runtime", r"v2\.local\.[A-Za-z0-9_-]{60,}", "v2.local.<w90>", "v2.local.x", "paseto.io (PASETO local)"),
    R("paseto-token", r"v[1-4]\.(?:local|public)\.[A-Za-z0-9_-]{60,}(?:\.[A-Za-z0-9_-]+)?", "v4.public.<w110>", "v4.public.x", "paseto.io"),
    # AI
    R("anthropic-key", r"sk-ant-[A-Za-z0-9]{3,12}-[A-Za-z0-9_-]{30,}", "sk-ant-api03-<w93>AA", "sk-ant-x", "docs.anthropic.com/en/api"),
    R("openai-key", r"sk-(?:proj|svcacct|admin|None)-[A-Za-z0-9_-]{36,}", "sk-proj-<w120>", "sk-proj-x", "platform.openai.com/docs/api-reference/authentication"),
    R("openai-style-key", r"sk-[A-Za-z0-9]{28,}", "sk-<a48>", "sk-x", "platform.openai.com; api-docs.deepseek.com"),
    R("openai-session", r"sess-[A-Za-z0-9]{36,}", "sess-<a40>", "sess-x", "platform.openai.com"),
    R("openrouter-key", r"sk-or-v1-[a-f0-9]{50,}", "sk-or-v1-<h64>", "sk-or-v1-x", "openrouter.ai/docs/api-reference/authentication"),
    R("vendor-sk-key", r"sk-(?:lf|kimi|rc|it|hc|litellm)-[A-Za-z0-9_-]{20,}", "sk-lf-<U>", "sk-learn-x", "langfuse.com/docs; platform.moonshot.ai"),
    R("elevenlabs-key", r"sk_[0-9a-f]{40,}", "sk_<h48>", "sk_id", "elevenlabs.io/docs/api-reference/authentication"),
    R("google-ai-or-groq-key", r"gsk_[A-Za-z0-9]{36,}", "gsk_<a52>", "gsk_x", "console.groq.com/docs/api-keys"),
    R("huggingface-token", r"(?:hf|api_org)_[A-Za-z0-9]{28,}", "hf_<e34>", "hf_hub_download_cache_dir", "huggingface.co/docs/hub/security-tokens"),
    R("replicate-token", r"r8_[A-Za-z0-9]{30,}", "r8_<a37>", "r8_x", "replicate.com/docs/topics/security/api-tokens"),
    R("perplexity-key", r"pplx-[A-Za-z0-9]{36,}", "pplx-<a48>", "pplx-x", "docs.perplexity.ai"),
    R("nvidia-key", r"nvapi-[A-Za-z0-9_-]{50,}", "nvapi-<w64>", "nvapi-x", "docs.api.nvidia.com"),
    R("xai-key", r"xai-[A-Za-z0-9]{50,}", "xai-<a80>", "xai-x", "docs.x.ai"),
    R("cerebras-key", r"csk-[a-z0-9]{36,}", "csk-<l48>", "csk-x", "inference-docs.cerebras.ai"),
    R("fireworks-key", r"fw_[A-Za-z0-9]{20,}", "fw_<m24>", "fw_x", "docs.fireworks.ai"),
    R("together-key", r"tgp_v1_[A-Za-z0-9_-]{36,}", "tgp_v1_<w43>", "tgp_v1_x", "docs.together.ai"),
    R("pinecone-key", r"pcsk_[A-Za-z0-9]{4,8}_[A-Za-z0-9]{40,}", "pcsk_<a6>_<a63>", "pcsk_x", "docs.pinecone.io/guides/projects/manage-api-keys"),
    R("langsmith-key", r"ls(?:v2_(?:pt|sk)|__)_?[a-f0-9]{30,}(?:_[a-f0-9]{8,})?", "lsv2_pt_<h32>_<h10>", "lsv2_x", "docs.smith.langchain.com"),
    R("llama-cloud-key", r"llx-[A-Za-z0-9]{36,}", "llx-<a48>", "llx-x", "docs.cloud.llamaindex.ai"),
    R("tavily-or-exa-key", r"tvly-(?:dev-|prod-)?[A-Za-z0-9]{24,}", "tvly-<a32>", "tvly-x", "docs.tavily.com"),
    R("firecrawl-key", r"\bfc-[a-f0-9]{30,}", "fc-<h32>", "fc-x", "docs.firecrawl.dev"),
    R("jina-key", r"jina_[a-f0-9]{32}[A-Za-z0-9_-]{16,}", "jina_<h32><a28>", "jina_x", "jina.ai"),
    R("voyage-key", r"pa-[A-Za-z0-9_-]{40,}", "pa-<m43>", "pa-x", "docs.voyageai.com"),
    R("assembly-or-deepinfra-key", r"bb_live_[A-Za-z0-9_-]{24,}", "bb_live_<a32>", "bb_live_x", "docs.browserbase.com"),
    R("wandb-key", r"wandb_v[0-9]_[A-Za-z0-9_-]{40,}", "wandb_v1_<a60>", "wandb_v1_x", "docs.wandb.ai"),
    R("modal-token", r"(?:ak|as)-[A-Za-z0-9]{22}(?![A-Za-z0-9-])", "as-<a22>", "as-x", "modal.com/docs"),
    R("e2b-or-daytona-key", r"(?:e2b|dtn)_[a-f0-9]{36,}", "e2b_<h40>", "e2b_x", "e2b.dev/docs"),
    R("apify-token", r"apify_api_[A-Za-z0-9]{30,}", "apify_api_<a36>", "apify_api_x", "docs.apify.com/platform/integrations/api"),
    # Package registries and containers
    R("npm-token", r"npm_[A-Za-z0-9]{30,}", "npm_<a36>", "npm_config_cache_directory", "docs.npmjs.com/about-access-tokens"),
    R("pypi-token", r"pypi-[A-Za-z0-9_-]{50,}", "pypi-AgEIcHlwaS5vcmc<w80>", "pypi-x", "pypi.org/help#apitoken"),
    R("rubygems-key", r"rubygems_[a-f0-9]{40,}", "rubygems_<h48>", "rubygems_version", "guides.rubygems.org/api-key-scopes"),
    R("nuget-key", r"oy2[a-z0-9]{40,}", "oy2<l43>", "oy2x", "learn.microsoft.com/nuget publish-a-package"),
    R("crates-io-token", r"cio[A-Za-z0-9]{32}(?![A-Za-z0-9])", "cio<a32>", "ciox", "doc.rust-lang.org/cargo/reference/publishing"),
    R("clojars-token", r"CLOJARS_[a-z0-9]{54,}", "CLOJARS_<l60>", "CLOJARS_USERNAME", "github.com/clojars/clojars-web wiki deploy tokens"),
    R("jfrog-key", r"AKC[a-zA-Z0-9]{60,}", "AKCp8<a68>", "AKCx", "jfrog.com/help api keys"),
    R("jfrog-reference-token", r"cmVmdGtu[A-Za-z0-9+/]{48,}={0,2}", "cmVmdGtu<a56>", "cmVmdGtu", "jfrog.com/help reference tokens"),
    R("docker-token", r"dck[a-z]_(?:pat|oat)_[A-Za-z0-9_-]{24,}", "dckr_pat_<w27>", "dckr_pat_x", "docs.docker.com/security/access-tokens"),
    R("docker-swarm-token", r"SWM(?:TKN|KEY)-[0-9]-[a-z0-9A-Z/+]{36,}(?:-[a-z0-9]{20,})?", "SWMTKN-1-<l50>-<l25>", "SWMTKN-1-x", "docs.docker.com/engine/swarm/join-nodes"),
    R("cloudsmith-key", r"csa_[A-Za-z0-9]{36,}", "csa_<a44>", "csa_x", "help.cloudsmith.io"),
    R("packagist-token", r"packagist_[ou][uo]t_[a-f0-9]{60,}", "packagist_uot_<h68>", "packagist_x", "packagist.com/docs"),
    R("hex-or-jsr-token", r"(?:jsr[dp]|hexpm)_[A-Za-z0-9]{40,}", "jsrp_<a52>", "jsrp_x", "jsr.io/docs"),
    R("deno-token", r"dd[ow]_[A-Za-z0-9]{34,}", "ddo_<a36>", "ddo_x", "docs.deno.com/deploy"),
    R("chef-or-habitat-token", r"_Qk9YLTEK[A-Za-z0-9+/=]{30,}", "_Qk9YLTEK<a60>", "_Qk9YLTEK", "docs.chef.io/habitat"),
    R("openshift-token", r"sha256~[A-Za-z0-9_-]{40,}", "sha256~<w43>", "sha256:<h64>", "docs.openshift.com authentication tokens"),
    R("rancher-token", r"(?:token|kubeconfig-u(?:ser)?)-[a-z0-9]{5,10}:[a-z0-9]{50,}", "token-<l5>:<l54>", "token-x:y", "ranchermanager.docs.rancher.com api-keys"),
    # Databases, messaging, data
    R("databricks-token", r"d(?:api|ose|ker|sapi)[a-f0-9]{32}(?:-[0-9])?", "dapi<h32>-2", "dapix", "docs.databricks.com/dev-tools/auth/pat"),
    R("supabase-key", r"sb(?:p|_secret|s|_oauth)_[A-Za-z0-9_-]{20,}", "sbp_<h40>", "sb_publishable_<a30>", "supabase.com/docs/guides/api/api-keys"),
    R("planetscale-token", r"pscale_(?:tkn|pw|oauth|app_token)_[A-Za-z0-9_.=-]{30,}", "pscale_tkn_<w43>", "pscale_tkn_x", "planetscale.com/docs/api/reference/service-tokens"),
    R("neon-key", r"(?:napi|neon)_[a-z0-9]{40,}", "napi_<l64>", "napi_env", "neon.com/docs/manage/api-keys"),
    R("mongodb-atlas-secret", r"mdb_sa_sk_[A-Za-z0-9_-]{30,}", "mdb_sa_sk_<w40>", "mdb_sa_id_<h24>", "mongodb.com/docs/atlas/api/service-accounts"),
    R("confluent-secret", r"cflt[A-Za-z0-9+/]{50,}={0,2}", "cflt<a60>", "cfltx", "docs.confluent.io/cloud api-keys"),
    R("aiven-token", r"(?:aivenv1|AVNS)_[A-Za-z0-9_+/=-]{16,}", "AVNS_<w19>", "AVNS_x", "aiven.io/docs"),
    R("upstash-token", r"AX[A-Za-z0-9][A-Za-z0-9]ASQg[A-Za-z0-9_-]{40,}={0,2}", "AXxxASQg<a50>", "AXxx", "upstash.com/docs/redis/features/restapi"),
    R("algolia-secured-key", r"TWF4[A-Za-z0-9+/]{80,}={0,2}", "TWF4<a100>", "TWF4", "algolia.com/doc/guides/security/api-keys"),
    R("prefect-key", r"pn[ub]_[A-Za-z0-9]{32,}", "pnu_<a36>", "pnu_x", "docs.prefect.io/v3/how-to-guides/cloud/manage-users/api-keys"),
    R("dbt-token", r"dbt[cus]_[A-Za-z0-9_=+/-]{36,}", "dbtc_<a40>", "dbtc_x", "docs.getdbt.com service-tokens"),
    R("fivetran-or-airbyte-token", r"ab_(?:sk|pat)_[A-Za-z0-9]{30,}", "ab_sk_<a40>", "ab_sk_x", "docs.airbyte.com"),
    R("turso-or-xata-key", r"xau_[A-Za-z0-9]{30,}", "xau_<a36>", "xau_x", "xata.io/docs"),
    R("convex-key", r"(?:prod|dev|preview):[a-z0-9-]{5,40}\|[A-Za-z0-9=_+/-]{40,}", "prod:happy-otter-123|<a60>", "prod:happy", "docs.convex.dev"),
    R("ethereum-or-bitcoin-xprv", r"[xyzt]prv[A-HJ-NP-Za-km-z1-9]{90,}", "xprv9<c106>", "xpub6<c106>", "github.com/bitcoin/bips bip-0032"),
    R("alchemy-or-infura-key", r"alcht_[A-Za-z0-9]{28,}", "alcht_<a32>", "alcht_x", "alchemy.com/docs"),
    R("wireguard-or-nats-seed", r"S[UACNO][A-Z2-7]{56}(?![A-Z0-9a-z])", "SU<B56>", "SUMMARY", "docs.nats.io nkeys"),
    R("synapse-or-matrix-token", r"syt_[A-Za-z0-9]{3,40}_[A-Za-z]{20}_[A-Za-z0-9]{6,}", "syt_bWF4_<e20>_<a6>", "syt_x", "matrix-org.github.io/synapse"),
    R("jwt", r"ey[IJ][A-Za-z0-9_-]{12,}\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*){0,3}", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.<w43>", "eyJ.x", "rfc-editor.org/rfc/rfc7519"),
)
# fmt: on


def literal_beginnings(shape: str, most: int = 6) -> list[str]:
    """The literal texts of four to `most` characters that this shape can begin with; none where it begins with a class."""
    from re import _parser  # type: ignore[attr-defined]

    texts = [""]
    for node in _flat(list(_parser.parse(shape))):
        name, value = str(node[0]), node[1]
        if name == "LITERAL":
            letters = [chr(value)]
        elif name == "IN" and all(str(one[0]) == "LITERAL" for one in value) and len(value) <= 8:
            letters = [chr(one[1]) for one in value]
        else:
            break
        texts = [text + letter for text in texts for letter in letters]
        if len(texts[0]) >= most or len(texts) > 40:
            break
    return [text for text in texts if len(text) >= 4]


def _flat(nodes: list[Any]) -> list[Any]:
    return _flat([*nodes[0][1][3], *nodes[1:]]) if nodes and str(nodes[0][0]) == "SUBPATTERN" else nodes


def beginnings(shape: str) -> list[tuple[str, int]]:
    """Every fixed-width way in which text of this shape can begin, up to the first open repeat: (pattern, width)."""
    from re import _parser  # type: ignore[attr-defined]

    return [(text, width) for text, width, _ in _expand(list(_parser.parse(shape)))]


def _expand(nodes: Sequence[Any]) -> list[tuple[str, int, bool]]:
    """(pattern, width, whether it goes on) for each branch of these parsed nodes."""
    found: list[tuple[str, int, bool]] = [("", 0, True)]
    for node in nodes:
        if not any(goes_on for _, _, goes_on in found):
            break
        choices = _choices(node)
        found = list(
            dict.fromkeys(
                (text + more, width + wide, goes_on) if open_ else (text, width, False)
                for text, width, open_ in found
                for more, wide, goes_on in (choices if open_ else choices[:1])
            )
        )
    return found


def _choices(node: Any) -> list[tuple[str, int, bool]]:
    name, value = str(node[0]), node[1]
    if name == "LITERAL":
        return [(re.escape(chr(value)), 1, True)]
    if name == "IN":
        return [("[" + "".join(_member(member) for member in value) + "]", 1, True)]
    if name == "SUBPATTERN":
        return _expand(list(value[3]))
    if name == "BRANCH":
        return [choice for branch in value[1] for choice in _expand(list(branch))]
    if name == "AT":
        return [(r"\b", 0, True)]
    if name == "ASSERT_NOT":
        return [("", 0, True)]
    if name != "MAX_REPEAT":
        raise ValueError(f"{name} has no place in a shape")
    low, high, inner = value
    one = _expand(list(inner))
    if (low, high) == (0, 1):
        return [("", 0, True), *one]
    if len(one) > 1 or not one[0][2]:
        return [("", 0, False)] if not low else one
    text, width, _ = one[0]
    return [(f"(?:{text}){{{low}}}" if len(one[0][0]) > 1 and text[0] != "[" else f"{text}{{{low}}}", width * low, low == high)] if low else [("", 0, False)]  # fmt: skip


def _member(member: Any) -> str:
    name, value = str(member[0]), member[1]
    if name == "RANGE":
        return f"{re.escape(chr(value[0]))}-{re.escape(chr(value[1]))}"
    if name == "CATEGORY":
        return {"CATEGORY_DIGIT": "0-9", "CATEGORY_WORD": "A-Za-z0-9_"}[str(value)]
    return re.escape(chr(value))


_ALPHABETS: Final = {
    "a": string.ascii_letters + string.digits, "e": string.ascii_letters, "h": "0123456789abcdef", "u": string.ascii_uppercase + string.digits,
    "l": string.ascii_lowercase + string.digits, "w": string.ascii_letters + string.digits + "-_", "d": string.digits,
    "B": string.ascii_uppercase + "234567", "c": "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz",
}  # fmt: skip


def example(recipe: str, seed: int = 1) -> str:
    """A recipe's text: `<a36>` 36 letters and digits (m: surely mixed, n: lower with digits), `<U>` a UUID; others as named above."""
    rng = random.Random(f"{recipe}{seed}")

    def fill(match: re.Match[str]) -> str:
        kind, count = match.group(1), int(match.group(2) or 0)
        if kind == "U":
            digits = "".join(rng.choices("0123456789abcdef", k=32))
            return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
        if kind == "m":
            return "".join(("".join(rng.choices(string.ascii_lowercase, k=1)), "".join(rng.choices(string.ascii_uppercase, k=1)), "".join(rng.choices(string.digits, k=1)))[n % 3] for n in range(count))  # fmt: skip
        if kind == "n":
            return "".join(rng.choice(string.ascii_lowercase if n % 2 else string.digits) for n in range(count))
        return "".join(rng.choices(_ALPHABETS[kind], k=count))

    return re.sub(r"<([aehulwdBcmnU])(\d*)>", fill, recipe)
