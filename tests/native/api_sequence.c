#include "api_sequence.h"

int main(int argc, char **argv)
{
    return sequence_main(argc, argv);
}
