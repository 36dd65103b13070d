# artifact.h for Doxygen: the tour is the main page, and each heading begins a group.
NR == 1 { print "/** @file */"; print "/** @mainpage libartifact"; next }
/^\/\* ==== .* ==== \*\/$/ {
    sub(/^\/\* ==== /, ""); sub(/ ==== \*\/$/, "")
    if (open) print "/** @} */"
    print "/** @name " $0 "\n@{ */"
    open = 1
    next
}
open && /^} \/\* extern "C" \*\/$/ { print "/** @} */"; open = 0 }
{ print }
