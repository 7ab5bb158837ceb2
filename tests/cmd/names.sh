# Names with every kind of evil byte go through unchanged, as arguments and as shell
# parameters, and nothing in them is executed (rows 1 and 2).
. "$(dirname "$0")/common.sh"

put() { printf '%s\0' "$@" >> items; }
put 'a b' "it's" 'say "hi"' '$HOME' ';echo PWNED' '`id -u`' '*' '~' '{}' 'x{#}y' '\' '-n' '--' \
    "$(printf 'tab\tbed')" "$(printf 'two\nlines')" "$(printf '\377\376')" ' lead' 'trail ' '&' \
    '$(touch pwned)' ''

run 0 "$BROOD" map -0 -k -a items printf '%s\0'
same out < items
run 0 "$BROOD" map -0 -k -a items printf '%s\0' {}
same out < items
run 0 "$BROOD" map -0 -k -a items --shell 'printf "%s\0" "$1"'
same out < items
run 0 "$BROOD" map -0 -n 100 -a items printf '%s\0'
same out < items

# Every byte but NUL, each an item of its own.
awk 'BEGIN { for (i = 1; i < 256; i++) printf "%c%c", i, 0 }' > bytes
[ "$(wc -c < bytes)" -eq 510 ] || fail 'awk made no single bytes'
run 0 "$BROOD" map -0 -n 5 -k -a bytes printf '%s\0'
same out < bytes

# By lines: all but the one that is two lines. An empty item is none.
tr '\0' '\n' < items > lines
run 0 "$BROOD" map -k -a lines printf '%s\n'
grep -v '^$' lines | same out

# What is taken for parts of a name.
run 0 "$BROOD" map -k echo '{.} {/} {//} {/.} {#}' ::: a/b.c /x d .e a.b/c
same out << 'END'
a/b b.c a b 1
/x x / x 2
d d . d 3
.e .e . .e 4
a.b/c c a.b c 5
END
run 0 "$BROOD" map -k -n 2 printf '[%s]' '-{}-' {} '{x}' '{{}}' '{' '}' ::: 1 2 3
printf '[-1 2-][1][2][{x}][{}][{][}][-3-][3][{x}][{}][{][}]' | same out
[ ! -e pwned ] || fail 'something in a name was executed'
