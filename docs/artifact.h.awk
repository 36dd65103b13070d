# artifact.h for Doxygen: the text at the top is the main page, each heading begins a group, and each function whose last
# parameter is `error`, and whose comment says nothing else about it, gets the description that the header gives once.
NR == 1 { print "/** @file */"; print "/** @mainpage libartifact"; next }
/^\/\* ==== .* ==== \*\/$/ {
    sub(/^\/\* ==== /, ""); sub(/ ==== \*\/$/, "")
    if (open) print "/** @} */"
    print "/** @name " $0 "\n@{ */"
    open = 1
    next
}
open && /^} \/\* extern "C" \*\/$/ { print "/** @} */"; open = 0 }
# A comment is kept until its declaration is known.
/^\/\*\*/ { kept = 1; count = 0 }
kept {
    lines[count++] = $0
    if (!/^ \*/ && /[;{]$/ || /^#define / || /^$/) {
        kept = described = 0
        declaration = ""
        for (i = 0; i < count; i++) {
            if (lines[i] ~ /^ \* @param error /) described = 1
            if (lines[i] !~ /^ \*|^\/\*\*/) declaration = declaration lines[i]
        }
        for (i = 0; i < count; i++) {
            if (lines[i] ~ /^ \* @return / && declaration ~ /\*\*error\);/ && !described) {
                print " * @param error Receives the error, which you own, or NULL on success; may be NULL."
            }
            print lines[i]
        }
    }
    next
}
{ print }
