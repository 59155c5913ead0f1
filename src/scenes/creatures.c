/* Animals, and a robot. */
#include "scenes/category.h"

// clang-format off
const gh_category gh_creatures[] = {
    {"fish", "fish", true, "bubbles", {"with its mouth closed", "with its mouth open"},
     "D p -24 2 -49 -24 -44 2 -49 26; D c -8 -18 4 -36 18 -18; M c -34 2 -10 -24 24 -22 46 2 24 26 -10 26; "
     "W e 24 -6 8 8; k e 26 -6 4 4; D p -6 2 -20 14 0 16; +s K e 43 6 7 7; -s k l 3 32 10 43 7; "
     "+f S e 48 -22 6 6; +f S e 40 -38 8 8; +f S e 54 -50 5 5", NULL, NULL},
    {"bird", "birds", true, "a crest", {"with its wing folded", "with its wing raised"},
     "D p -24 4 -50 -8 -50 10 -24 18; k l 4 -4 26 -4 46 4 46; k l 4 8 26 8 46 16 46; "
     "+f R p 14 -28 10 -50 22 -38 30 -50 32 -28; M c -34 4 -8 -18 22 -14 28 8 8 30 -18 26; M e 24 -18 16 15; "
     "O p 38 -24 52 -16 38 -11; W e 27 -21 5 5; k e 28 -21 3 3; -s D c -22 0 4 -4 10 10 -12 20; "
     "+s D p -14 4 12 2 -4 -34 -26 -48 -32 -26",
     "from above",
     "+f R p 30 -6 44 0 30 6; D p -20 0 -50 -14 -50 14; +s D p -4 0 16 0 6 -48 -14 -44; "
     "+s D p -4 0 16 0 6 48 -14 44; -s D p -28 -8 10 -10 -6 -22 -30 -16; -s D p -28 8 10 10 -6 22 -30 16; "
     "M c -32 0 -6 -16 20 -10 24 0 20 10 -6 16; M e 26 0 13 12; O p 37 -5 50 0 37 5"},
    {"cat", "cats", false, "a collar", {"that is awake", "that is asleep"},
     "M a 9 18 42 42 42 46 22 38 8; M c 0 -2 22 8 32 47 -32 47 -22 8; M p -27 -20 -26 -50 -5 -38; "
     "M p 27 -20 26 -50 5 -38; M e 0 -18 29 23; -s W e -12 -20 8 8; -s W e 12 -20 8 8; -s k e -12 -20 3 6; "
     "-s k e 12 -20 3 6; +s k l 3 -19 -20 -12 -16 -5 -20; +s k l 3 19 -20 12 -16 5 -20; P p -5 -11 5 -11 0 -5; "
     "k l 2 -12 -7 -38 -12; k l 2 -12 -5 -38 -2; k l 2 12 -7 38 -12; k l 2 12 -5 38 -2; W e -12 45 8 5; "
     "W e 12 45 8 5; +f R r -18 3 36 8 4; +f Y e 0 12 5 5", NULL, NULL},
    {"dog", "dogs", true, "a collar", {"with its tail down", "with its tail up"},
     "+s M l 8 -32 2 -48 -26; -s M l 8 -32 6 -47 28; D r -34 18 10 30 4; D r 2 18 10 30 4; M r -38 -6 58 30 14; "
     "M r -28 18 10 31 4; M r 9 18 10 31 4; M e 24 -18 20 18; M r 30 -18 20 16 7; k e 48 -14 4 4; W e 29 -24 5 5; "
     "k e 30 -24 3 3; D c 10 -34 20 -30 18 -4 8 -4; k l 2 36 -5 46 -5; +f R l 7 8 -4 26 4; +f Y e 24 9 4 4",
     "from the front",
     "M r -26 4 52 36 14; M r -24 22 14 27 5; M r 10 22 14 27 5; M e 0 -16 28 25; "
     "D c -30 -36 -18 -32 -20 -2 -32 0; D c 30 -36 18 -32 20 -2 32 0; W e 0 -4 15 12; k e 0 -10 6 4; "
     "W e -10 -24 5 5; k e -10 -24 3 3; W e 10 -24 5 5; k e 10 -24 3 3; k l 2 0 -6 0 2; +f R r -18 8 36 8 4; "
     "+f Y e 0 17 5 5; +s M l 7 24 8 44 -22; -s M l 7 24 14 40 40"},
    {"rabbit", "rabbits", false, "a carrot", {"with its ears down", "with its ears up"},
     "+s M e -11 -34 8 19; +s P e -11 -33 4 13; +s M e 11 -34 8 19; +s P e 11 -33 4 13; M e 0 28 26 22; "
     "M e 0 -6 22 19; -s M e -27 2 8 19; -s M e 27 2 8 19; W e -8 -9 5 6; W e 8 -9 5 6; k e -8 -8 3 4; "
     "k e 8 -8 3 4; P e 0 0 4 3; W r -5 3 10 8 1; k l 1 0 3 0 11; W e 0 32 14 14; M e -16 46 11 5; "
     "M e 16 46 11 5; +f O p 22 16 34 16 27 48; +f N p 22 15 28 0 35 15", NULL, NULL},
    {"snail", "snails", true, "a leaf", {"with its feelers in", "with its feelers out"},
     "+f N c -58 38 -44 24 -26 34 -38 48; F c -46 46 -30 34 20 32 26 0 38 -8 48 2 44 40 30 48; "
     "+s k l 3 34 -4 28 -28; +s k e 28 -30 5 5; +s k l 3 42 -4 46 -28; +s k e 46 -30 5 5; k e 39 6 3 3; "
     "M e -8 8 31 31; d o 4 -8 8 20 20; d o 4 -8 8 9 9",
     "from above",
     "+f N c -58 20 -44 6 -26 16 -38 34; F c -48 0 -30 -10 30 -12 46 0 30 12 -30 10; +s k l 3 40 -5 56 -16; "
     "+s k l 3 40 5 56 16; M e -6 0 26 26; d o 4 -6 0 16 16; d o 4 -6 0 7 7"},
    {"butterfly", "butterflies", false, "feelers", {"with its wings closed", "with its wings open"},
     "+s M c -4 -6 -20 -44 -49 -38 -42 -6; +s M c 4 -6 20 -44 49 -38 42 -6; +s M c -4 2 -34 4 -38 36 -14 38; "
     "+s M c 4 2 34 4 38 36 14 38; +s L e -32 -24 8 8; +s L e 32 -24 8 8; -s M c -2 -6 -6 -48 -24 -44 -20 -4; "
     "-s M c 2 -6 6 -48 24 -44 20 -4; -s M c -2 2 -16 4 -20 36 -6 36; -s M c 2 2 16 4 20 36 6 36; K e 0 0 5 30; "
     "+f k a 3 -2 -28 -8 -40 -18 -46; +f k a 3 2 -28 8 -40 18 -46; +f k e -18 -46 4 4; +f k e 18 -46 4 4", NULL, NULL},
    {"turtle", "turtles", true, "a flower on its back", {"with its head hidden", "with its head out"},
     "+s N r 24 -4 14 30 7; +s N e 38 -6 13 11; +s W e 42 -9 4 4; +s k e 43 -9 2 2; N p -36 18 -52 26 -36 28; "
     "N r -32 22 16 25 6; N r 14 22 16 25 6; M c -42 26 -34 -10 0 -28 34 -10 42 26; d l 3 -22 24 -14 -8; "
     "d l 3 22 24 14 -8; d l 3 -34 4 34 4; +f P e 0 -34 11 9; +f Y e 0 -34 5 5",
     "from above",
     "N e 22 -30 11 8; N e 22 30 11 8; N e -22 -30 11 8; N e -22 30 11 8; N p -36 -5 -50 0 -36 5; "
     "+s N e 42 0 12 9; M e 0 0 38 32; D p -12 -14 12 -14 20 0 12 14 -12 14 -20 0; +f P e 0 0 10 10; "
     "+f Y e 0 0 5 5"},
    {"duck", "ducks", true, "a hat", {"on the grass", "on the water"},
     "-s O l 5 -6 34 -8 47 2 47; -s O l 5 10 34 8 47 18 47; M c -48 -4 -24 10 8 0 30 12 24 36 -20 40 -42 22; "
     "M e 20 -14 18 17; O c 34 -14 54 -14 52 -6 34 -4; W e 24 -19 5 5; k e 25 -19 3 3; "
     "D c -26 12 4 8 8 22 -14 28; +s S p -60 38 -40 34 -20 38 0 34 20 38 40 34 60 38 60 50 -60 50; "
     "+f K r 8 -52 24 20 2; +f K r 0 -34 40 6 2",
     NULL, NULL},
    {"owl", "owls", false, "glasses", {"with its eyes open", "with its eyes closed"},
     "M p -30 -24 -30 -49 -10 -36; M p 30 -24 30 -49 10 -36; M c 0 -40 30 -32 36 16 18 44 -18 44 -36 16 -30 -32; "
     "L c 0 4 18 14 14 40 -14 40 -18 14; -s W e -14 -16 13 13; -s W e 14 -16 13 13; -s k e -14 -16 6 6; "
     "-s k e 14 -16 6 6; +s D e -14 -16 13 13; +s D e 14 -16 13 13; +s k l 3 -24 -14 -14 -10 -4 -14; "
     "+s k l 3 24 -14 14 -10 4 -14; O p -6 -6 6 -6 0 8; O e -10 46 7 4; O e 10 46 7 4; +f r o 4 -15 -16 16 16; "
     "+f r o 4 15 -16 16 16", NULL, NULL},
    {"robot", "robots", false, "an antenna", {"with its arms down", "with its arms up"},
     "+f K l 3 0 -40 0 -54; +f R e 0 -55 6 6; +s G l 8 -28 2 -44 -26; +s G l 8 28 2 44 -26; "
     "-s G l 8 -28 2 -42 28; -s G l 8 28 2 42 28; G r -20 30 14 19 2; G r 6 30 14 19 2; M r -28 -4 56 38 4; "
     "M r -24 -42 48 34 6; Y e -11 -26 7 7; Y e 11 -26 7 7; k e -11 -26 3 3; k e 11 -26 3 3; K r -12 -16 24 5 1; "
     "W r -16 6 32 16 2; R e -8 14 4 4; N e 6 14 4 4", NULL, NULL},
    {0}};
// clang-format on
