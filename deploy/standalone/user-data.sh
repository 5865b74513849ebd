#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# User data for Debian and Amazon Linux 2023: a new instance joins forerun by itself, as an agent or as a core. It takes
# the options from SSM Parameter Store (/forerun/NAME/PART) and the shared key from Secrets Manager (forerun/NAME/key),
# with the role of the instance; cloudformation.yaml makes all three. Needs curl 7.88 or newer and python3; both are there.
# It goes into an EC2NodeClass as it is: no braces, so that nothing in it looks like a variable of a document.
set -eu

part=agent # or core
name=default
# forerun's package: s3://BUCKET/KEY or https://..., a .deb or a .tar.gz of what `make install` made. "": it is in the image.
package=
sha256=

imds=http://169.254.169.254/latest
etc=/etc/forerun
patience=300 # seconds

say() {
	echo "forerun user data: $*" >&2
}

fail() {
	say "$*"
	exit 1
}

# ---- the instance ----

# Version 2 alone, as forerun itself asks.
metadata() {
	token=$(curl -sf -m 5 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 300' "$imds/api/token") || return 1
	curl -sf -m 5 -H "X-aws-ec2-metadata-token: $token" "$imds/$1"
}

# field PATH: one field of the JSON object on standard input. Where it is not there, what AWS said instead: never the whole
# answer, a key may be in it.
field() {
	python3 -c '
import functools, json, sys
try:
    answer = json.load(sys.stdin)
    sys.stdout.write(functools.reduce(lambda value, key: value[key], sys.argv[1].split("."), answer))
except ValueError:
    sys.exit("forerun user data: the answer is no JSON")
except KeyError:
    words = [str(answer.get(key)) for key in ("__type", "message", "Message", "Code") if answer.get(key)]
    sys.exit("forerun user data: no " + sys.argv[1] + ": " + " ".join(words))' "$1"
}

# A role that was just attached takes some seconds to be there.
take_role() {
	region=$(metadata meta-data/placement/region) || return 1
	role=$(metadata meta-data/iam/security-credentials/) || return 1
	credentials=$(metadata "meta-data/iam/security-credentials/$role") || return 1
	access_key=$(printf '%s' "$credentials" | field AccessKeyId) || return 1
	secret_key=$(printf '%s' "$credentials" | field SecretAccessKey) || return 1
	session=$(printf '%s' "$credentials" | field Token)
}

# ---- AWS ----

# signed SERVICE ARGUMENTS...: curl as the role. Credentials go by standard input, where no process list shows them.
signed() {
	service=$1
	shift
	printf 'user = "%s:%s"\nheader = "X-Amz-Security-Token: %s"\n' "$access_key" "$secret_key" "$session" |
		curl -sS -m 60 -K - --aws-sigv4 "aws:amz:$region:$service" "$@"
}

# ask SERVICE TARGET BODY FIELD
ask() {
	answer=$(signed "$1" -H "X-Amz-Target: $2" -H 'Content-Type: application/x-amz-json-1.1' --data "$3" \
		"https://$1.$region.amazonaws.com/") || return 1
	printf '%s' "$answer" | field "$4"
}

options() {
	ask ssm AmazonSSM.GetParameter "{\"Name\":\"/forerun/$name/$part\"}" Parameter.Value
}

key() {
	ask secretsmanager secretsmanager.GetSecretValue "{\"SecretId\":\"forerun/$name/key\"}" SecretString
}

# until_there WHAT COMMAND...
until_there() {
	what=$1
	shift
	while ! "$@"; do
		[ "$patience" -gt 0 ] || fail "gave up on $what"
		patience=$((patience - 5))
		say "no $what yet, again in 5 s"
		sleep 5
	done
}

# ---- the package ----

fetch() {
	case $package in
	s3://*)
		path=$(printf %s "$package" | cut -d/ -f4-)
		signed s3 -f -o "$1" "https://$(printf %s "$package" | cut -d/ -f3).s3.$region.amazonaws.com/$path"
		;;
	https://*) curl -sSf -m 300 -o "$1" "$package" ;;
	*) fail "package=$package is neither s3:// nor https://" ;;
	esac
}

install_package() {
	directory=$(mktemp -d)
	until_there "$package" fetch "$directory/package"
	echo "$sha256  $directory/package" | sha256sum -c - >/dev/null || fail "$package has not the checksum $sha256"
	case $package in
	*.deb)
		mv "$directory/package" "$directory/forerun.deb"
		chmod 755 "$directory"
		DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install "$directory/forerun.deb"
		;;
	*.tar.gz)
		tar -xzf "$directory/package" -C / --no-same-owner
		systemd-sysusers
		systemctl daemon-reload
		;;
	*) fail "package=$package is neither .deb nor .tar.gz" ;;
	esac
	rm -rf "$directory"
}

# ---- joining ----

# put FILE COMMAND...: what the command prints, for root and forerun alone, there at once or not at all.
put() {
	file=$1
	shift
	umask 077
	"$@" >"$file.new" || return 1
	chown root:forerun "$file.new"
	chmod 640 "$file.new"
	mv "$file.new" "$file"
}

case $part in
agent | core) ;;
*) fail "part=$part is neither agent nor core" ;;
esac
until_there 'role of this instance' take_role
[ -z "$package" ] || install_package
command -v forerun >/dev/null || fail 'forerun is not in the image, and package= names none'
mkdir -p "$etc/keys"
chown root:forerun "$etc/keys"
chmod 750 "$etc/keys"
until_there "parameter /forerun/$name/$part" put "$etc/$part.yaml" options
until_there "secret forerun/$name/key" put "$etc/keys/shared.key" key
systemctl enable "forerun-$part.service"
systemctl restart "forerun-$part.service"
say "forerun-$part runs"
