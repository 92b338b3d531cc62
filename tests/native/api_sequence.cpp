// The same sequence from C++: the header must give C names, and its enums must stay usable as enums.
#include "api_sequence.h"

int main(int argc, char **argv)
{
    return sequence_main(argc, argv);
}
