# artifact.hpp for Doxygen: its introduction is the page of the file.
NR == 1 { print "/// @file"; print "///" }
/^#ifndef/ { body = 1 }
!body { sub(/^\/\//, "///") }
{ print }
